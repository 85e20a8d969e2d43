/* Where the unwinder of the compiler finds the unwind tables. It asks this function of the system's C library, and musl has
 * none. An image whose application unwinds has its tables in memory (`with_unwind_tables` in
 * builder/src/link.rs); in others there is none. */
#include <stddef.h>

extern const char bespoke_eh_frame_hdr[] __attribute__((weak, visibility("hidden")));
extern const char bespoke_image_start[], bespoke_image_end[];

struct found {
	unsigned long long flags;
	const void *start, *end;
	void *link_map;
	const void *eh_frame;
	unsigned long long reserved[7];
};

int _dl_find_object(void *address, struct found *result)
{
	const char *at = address;
	if (!bespoke_eh_frame_hdr || at < bespoke_image_start || at >= bespoke_image_end) return -1;
	*result = (struct found){
		.start = bespoke_image_start, .end = bespoke_image_end, .eh_frame = bespoke_eh_frame_hdr,
	};
	return 0;
}
