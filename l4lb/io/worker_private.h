/* l4lb/io/worker_private.h - between worker.c (the loop) and workers.c (their life).  Layer: l4lb/io. */
#pragma once

struct io_worker;
void worker_wake(struct io_worker *w); /* any thread: what it waits for is in its ring already */
int worker_main(void *arg); /* the lcore's function; arg is a struct io_worker */
