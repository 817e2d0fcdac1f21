/* tests/fuzz/image/bird_answer_fuzz.c - bytes of BIRD's control socket -> an answer.
 * Holds: an answer ends behind a newline and inside the input; what comes after it changes nothing; a part of it is MORE. */
#include "lib/base.h"

#include "image/core/advertise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t used = 0, again = 0;
        enum bird_rc rc = bird_answer(SPAN(data, size), &used);
        if (rc == BIRD_OK || rc == BIRD_ERROR) {
                BUG_ON(used == 0 || used > size || data[used - 1] != '\n');
                BUG_ON(bird_answer(SPAN(data, used), &again) != rc || again != used);
                BUG_ON(bird_answer(SPAN(data, used - 1), &again) != BIRD_MORE);
        } else {
                BUG_ON(used != 0);
        }
        return 0;
}
