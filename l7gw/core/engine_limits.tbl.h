/* l7gw/core/engine_limits.tbl.h - the engine's own limits: L(NAME, value, "why").  Limits of the HTTP/1.1 grammar are
 * in h1.h, those of the model in lib/core/model.h; what an operator may change is in configs/l7gw.cfg. */
#pragma once
/* clang-format off */
#define L7_LIMITS(L) \
        L(SCRATCH_BYTES, 131072, "one read: copying costs least per byte at 64 to 128 KiB") \
        L(READS_PER_RUN, 4, "reads of one connection before others have their turn: half a MiB") \
        L(RUNS_PER_ROUND, 4, "times a connection goes round (input, frames, send) before others have their turn") \
        L(SEND_BATCH, 128, "sends in one system call") \
        L(CHUNK_BYTES, 16384, "queue granule: one full TLS record") \
        L(CHUNKS_KEPT, 1024, "idle chunks a worker keeps for reuse: 16 MiB") \
        L(SPLICE_BYTES, 65536, "bytes left of a plain body from which on they pass through a pipe: below, copying is cheaper") \
        L(PIPE_BYTES, 262144, "of one body in its pipe; pages, not copies") \
        L(PIPES, 1024, "pipes one worker has filled at once, two descriptors each; over it bodies are copied") \
        L(PIPES_KEPT, 16, "empty pipes a worker keeps") \
        L(STREAMS_KEPT, 1024, "idle streams a worker keeps for reuse") \
        L(CONNS_KEPT, 1024, "idle connection structs a worker keeps for reuse") \
        L(STREAM_CHUNK_BYTES, 4096, "first arena chunk of a stream: an ordinary request fits") \
        L(STREAM_ARENA_BYTES, 262144, "arena cap of a stream, heads and filters both ways; over it 431 or 503") \
        L(WIRE_BYTES, 65536, "encrypted bytes waiting for the socket: four records per send") \
        L(TLS_KEY_UPDATES, 1000, "key updates of one peer: an honest one makes one in 2^24 records, and each costs us an answer") \
        L(XFCC_BYTES, 8192, "X-Forwarded-Client-Cert: a certificate may have hundreds of names; over it the connection ends") \
        L(H2_STREAMS, 100, "SETTINGS_MAX_CONCURRENT_STREAMS") \
        L(H2_CONN_WINDOW, 1048576, "receive window of an HTTP/2 connection: request bytes it can park here") \
        L(H2_HEADER_LIST, 32768, "SETTINGS_MAX_HEADER_LIST_SIZE, enforced while decoding") \
        L(H2_RESPONSE_LIST, 65536, "header list of an endpoint's response: as much as HTTP/1.1 may have") \
        L(H2_UPSTREAM_STREAMS, 100, "streams of one connection to an endpoint, if it allows as many") \
        L(H2_CONTINUATIONS, 8, "CONTINUATION flood") \
        L(H2_RESET_BURST, 1000, "rapid reset: burst of client resets") \
        L(H2_RESET_RATE, 33, "rapid reset: client resets per second after the burst") \
        L(H2_ACK_QUEUE, 100, "PING and SETTINGS flood: queued acknowledgements") \
        L(H2_GLITCHES, 2000, "frames without use (empty DATA, PING, tiny WINDOW_UPDATE) beyond what requests earn") \
        L(H2_FAULTS, 100, "resets the client makes us send (MadeYouReset) beyond what requests earn") \
        L(INTERIM_RESPONSES, 8, "1xx heads of one upstream response") \
        L(BODY_WINDOW_MS, 10000, "the minimum rate of a request body is measured over this long") \
        L(LINGER_BYTES, 65536, "input thrown away after an early answer, so that the answer is not lost to a reset") \
        L(LINGER_MS, 2000, "and for how long") \
        L(TRIES, 3, "endpoints tried for one request when connecting fails") \
        L(RING_POINTS, 256, "ring hash: points of the lightest endpoint, whatever the size of the set; shares within some 10 % of each other") \
        L(RING_MAX, 262144, "and in all: 4 MiB") \
        L(AVOID_MS, 1000, "an endpoint that refused is chosen last for this long") \
        L(CONNECTS_PER_PEER, 64, "connections one worker opens to one endpoint at once: spare its backlog") \
        L(UPSTREAM_IDLE_PER_PEER, 512, "idle connections one worker keeps to one endpoint") \
        L(PROBES, 256, "active health checks under way at once; the others wait") \
        L(PROBE_PAUSE_MS, 20, "for so long") \
        L(PROXY_IDLE_MS, 5000, "idle connections that began with a PROXY header: only their client can use them again") \
        L(LOG_RING_BYTES, 1048576, "access log lines one worker may have waiting; over it they are dropped") \
        L(LOG_FLUSH_MS, 100, "access log delay") \
        L(ACCEPT_PAUSE_MS, 100, "accepting rests this long when descriptors run out") \
        L(REPLAY_BYTES, 65536, "request body kept for retries; a longer one is sent once") \
        L(MIRRORS, 1024, "mirrored requests one worker has under way; over it they are not made") \
        L(MIRROR_BYTES, 262144, "body of a mirrored request that waits for its backend; over it the copy is dropped") \
        L(MIRROR_IDLE_MS, 15000, "a mirrored request that does not move") \
        L(RETRY_BACKOFF_MS, 25, "least pause before a retry") \
        L(RETRY_PERCENT, 20, "retry budget of a cluster: share of its requests") \
        L(RETRY_FLOOR_PER_S, 50, "and what it may have at any rate, per worker") \
        L(RETRY_WINDOW_MS, 10000, "over this time") \
        L(REGEX_STEPS, 100000, "backtracking of one regular expression over one value: under a millisecond") \
        L(REGEX_KIB, 1024, "and its memory, where it is interpreted") \
        L(DRAIN_MOVE_MS, 1000, "after the health port closes: time for l4lb to notice before we stop accepting") \
        L(DRAIN_IDLE_MS, 2000, "a draining keep-alive connection may send one more request for this long")
/* clang-format on */
enum {
#define L(name, n, why) L7_##name = n,
        L7_LIMITS(L)
#undef L
};
