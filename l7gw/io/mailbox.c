/* l7gw/io/mailbox.c - see mailbox.h. */
#include "lib/base.h"
#include "l7gw/io/mailbox.h"

void mailbox_post(struct mailbox *b, struct loop *receiver, struct mail *m)
{
        struct mail *old = atomic_load_explicit(&b->head, memory_order_relaxed);
        do {
                m->next = old;
                /* release: what the sender wrote into the message is seen by whoever takes it with acquire */
        } while (!atomic_compare_exchange_weak_explicit(&b->head, &old, m, memory_order_release, memory_order_relaxed));
        if (!old)
                loop_wake(receiver);
}

void mailbox_run(struct mailbox *b, void *receiver)
{
        struct mail *m = atomic_exchange_explicit(&b->head, NULL, memory_order_acquire), *fifo = NULL;
        while (m) {
                struct mail *next = m->next;
                m->next = fifo;
                fifo = m;
                m = next;
        }
        while (fifo) {
                struct mail *next = fifo->next; /* fn may free or post it again */
                fifo->fn(receiver, fifo);
                fifo = next;
        }
}
