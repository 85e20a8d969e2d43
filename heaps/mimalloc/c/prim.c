/* mimalloc's operating-system layer over the page source. Contracts: mimalloc/prim.h. */

void _mi_prim_mem_init(mi_os_mem_config_t *config)
{
	config->page_size = 4096;
	config->alloc_granularity = 4096;
	config->large_page_size = 0;
	/* Pages are there once granted, in whole runs, and any part of a run can go back. */
	config->has_overcommit = true;
	config->has_partial_free = true;
	config->has_virtual_reserve = false;
	/* Below 46, no address hints are computed. */
	config->virtual_address_bits = 40;
}

int _mi_prim_alloc(void *hint, size_t size, size_t alignment, bool commit, bool allow_large,
                   bool *is_large, bool *is_zero, void **start)
{
	(void)hint, (void)commit, (void)allow_large;
	*is_large = false;
	*start = mimalloc_map(size, alignment, is_zero);
	return *start ? 0 : ENOMEM;
}

int _mi_prim_free(void *start, size_t size)
{
	if (size) mimalloc_unmap(start, size);
	return 0;
}

int _mi_prim_commit(void *start, size_t size, bool *is_zero)
{
	(void)start, (void)size;
	*is_zero = false;
	return 0;
}

/* The pages stay ours and their contents go; nothing need be asked for to use them again. */
int _mi_prim_decommit(void *start, size_t size, bool *needs_recommit)
{
	mimalloc_discard(start, size);
	*needs_recommit = false;
	return 0;
}

int _mi_prim_reset(void *start, size_t size)
{
	mimalloc_discard(start, size);
	return 0;
}

int _mi_prim_reuse(void *start, size_t size)
{
	(void)start, (void)size;
	return 0;
}

int _mi_prim_protect(void *start, size_t size, bool protect)
{
	(void)start, (void)size, (void)protect;
	return 0;
}

int _mi_prim_alloc_huge_os_pages(void *hint, size_t size, int node, bool *is_zero, void **start)
{
	(void)hint, (void)size, (void)node;
	*is_zero = false;
	*start = NULL;
	return ENOMEM;
}

size_t _mi_prim_numa_node(void)
{
	return 0;
}

size_t _mi_prim_numa_node_count(void)
{
	return 1;
}

/* About a millisecond, by a processor of 2 GHz: for the delay before a purge and for a weak seed. */
mi_msecs_t _mi_prim_clock_now(void)
{
	return (mi_msecs_t)(__builtin_ia32_rdtsc() >> 21);
}

void _mi_prim_process_info(mi_process_info_t *info)
{
	(void)info;
}

void _mi_prim_out_stderr(const char *message)
{
	(void)message;
}

bool _mi_prim_getenv(const char *name, char *result, size_t size)
{
	(void)name, (void)result, (void)size;
	return false;
}

bool _mi_prim_random_buf(void *buffer, size_t bytes)
{
	(void)buffer, (void)bytes;
	return false;
}

void _mi_prim_thread_init_auto_done(void) {}
void _mi_prim_thread_done_auto_done(void) {}

void _mi_prim_thread_associate_default_heap(mi_heap_t *heap)
{
	(void)heap;
}

bool _mi_is_redirected(void)
{
	return false;
}

bool _mi_allocator_init(const char **message)
{
	(void)message;
	return true;
}

void _mi_allocator_done(void) {}

/* Errors that are answers (no memory, absurd sizes) are NULL to the caller already. */
static void mimalloc_error(int error, void *argument)
{
	(void)argument;
	if (error == EFAULT || error == EAGAIN) mimalloc_corrupt(error);
}

/* Starts the shared instance; once. reserve_bytes: size of an arena, 0 for none. purge_delay: -1 for never. */
void mimalloc_start(size_t reserve_bytes, long purge_delay)
{
	mi_register_error(&mimalloc_error, NULL);
	_mi_auto_process_init();
	mi_option_set(mi_option_purge_delay, purge_delay);
	mi_option_set(mi_option_eager_commit_delay, 0);
	if (reserve_bytes) {
		mi_option_set(mi_option_disallow_arena_alloc, 0);
		/* In KiB, and mimalloc takes a quarter of it where addresses cannot be reserved without memory. */
		mi_option_set(mi_option_arena_reserve, reserve_bytes / 1024 * 4);
	}
}
