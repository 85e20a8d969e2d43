/* Makes nginx one process in the foreground, whatever its configuration says or leaves out (`daemon`, `master_process`), and lets it
   end as its workers do: SIGTERM, SIGINT and SIGQUIT close the listeners and idle connections, requests under way are answered, then it
   ends. Asked once more it ends at once.

   Upstream ends such a process in the middle of its requests, for its masters only let workers finish. This stands
   between the event loop and its method to wait for events; it owns nothing but the two flags while it lasts. */
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

static ngx_int_t (*wait_for_events)(ngx_cycle_t *cycle, ngx_msec_t timer, ngx_uint_t flags);

/* The first time it is asked to. */
static void begin_to_end(ngx_cycle_t *cycle)
{
	if (ngx_exiting || !(ngx_terminate || ngx_quit))
		return;
	ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0, "shutting down, requests under way are answered first");
	ngx_terminate = 0;
	ngx_quit = 0;
	ngx_exiting = 1;
	ngx_set_shutdown_timer(cycle);
	ngx_close_listening_sockets(cycle);
	ngx_close_idle_connections(cycle);
}

static ngx_int_t wait_or_end(ngx_cycle_t *cycle, ngx_msec_t timer, ngx_uint_t flags)
{
	/* Before the wait, too: a signal that came since the loop looked for one would be seen at the next event. */
	begin_to_end(cycle);
	if (ngx_exiting && ngx_event_no_timers_left() == NGX_OK)
		/* Every request has a timer: none is left. */
		ngx_quit = 1;
	if (ngx_terminate || ngx_quit)
		return NGX_OK;
	ngx_int_t result = wait_for_events(cycle, timer, flags);
	begin_to_end(cycle);
	return result;
}

static ngx_int_t start(ngx_cycle_t *cycle)
{
	/* Workers of a master do it themselves. */
	if (ngx_process == NGX_PROCESS_SINGLE && !wait_for_events) {
		wait_for_events = ngx_event_actions.process_events;
		ngx_event_actions.process_events = wait_or_end;
	}
	return NGX_OK;
}

/* After the core's own, which puts the defaults in. */
static char *be_one_process(ngx_cycle_t *cycle, void *conf)
{
	ngx_core_conf_t *core = (ngx_core_conf_t *)ngx_get_conf(cycle->conf_ctx, ngx_core_module);
	core->daemon = 0;
	core->master = 0;
	return NGX_CONF_OK;
}

static ngx_core_module_t context = {ngx_string("bespoke_graceful"), NULL, be_one_process};

ngx_module_t bespoke_graceful_module = {
	NGX_MODULE_V1,
	&context, NULL, NGX_CORE_MODULE,
	NULL, NULL, start, NULL, NULL, NULL, NULL,
	NGX_MODULE_V1_PADDING
};
