/* l7gw/io/mailbox.h - messages between threads: many senders, one receiver, no lock.  Layer: l7gw/io.
 * A mail is embedded in what it carries; it must stay alive until its fn has run in the receiving thread. */
#pragma once
#include "lib/io/loop.h"
#include <stdatomic.h>

struct mail {
        struct mail *next;
        void (*fn)(void *receiver, struct mail *m); /* runs in the receiver's thread */
};
struct mailbox {
        _Atomic(struct mail *) head; /* newest first */
};
void mailbox_post(struct mailbox *b, struct loop *receiver, struct mail *m)
        NONNULL(1, 2, 3);                                       /* any thread; wakes the receiver */
void mailbox_run(struct mailbox *b, void *receiver) NONNULL(1); /* receiver: all mails, oldest first */
