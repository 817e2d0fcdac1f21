/* l4lb/io/worker_private.h - between worker.c (the loop) and workers.c (their life).  Layer: l4lb/io. */
#pragma once

int worker_main(void *arg); /* the lcore's function; arg is a struct io_worker */
