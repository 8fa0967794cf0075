/* SPDX-License-Identifier: BSD-3-Clause
 * The worker's side of the table exchange; see mailbox.h. Knows nothing of what the tables hold.
 */
#include "worker/mailbox.h"
#include <stdlib.h>

#define MAILBOX_COMMANDS_A_TURN 8

enum tg_err mailbox_init(struct mailbox *mailbox, struct ring *commands)
{
    size_t bytes = ring_bytes(MAILBOX_ENTRIES, sizeof(struct mail));
    bytes = (bytes + TG_CACHE_LINE - 1) & ~(size_t)(TG_CACHE_LINE - 1);
    *mailbox = (struct mailbox){.commands = commands};
    mailbox->to_housekeeping = aligned_alloc(TG_CACHE_LINE, bytes);
    mailbox->from_housekeeping = aligned_alloc(TG_CACHE_LINE, bytes);
    if (!mailbox->to_housekeeping || !mailbox->from_housekeeping) {
        mailbox_free(mailbox);
        return TG_NO_MEMORY;
    }
    ring_init(mailbox->to_housekeeping, MAILBOX_ENTRIES, sizeof(struct mail));
    ring_init(mailbox->from_housekeeping, MAILBOX_ENTRIES, sizeof(struct mail));
    return TG_OK;
}

void mailbox_free(struct mailbox *mailbox)
{
    free(mailbox->to_housekeeping);
    free(mailbox->from_housekeeping);
    *mailbox = (struct mailbox){0};
}

bool mailbox_ask(struct mailbox *mailbox, enum tables_kind kind, uint64_t number)
{
    struct mail mail = {.op = MAIL_BUILD, .kind = kind, .number = number};
    if (number <= mailbox->asked[kind])
        return true;
    if (ring_push(mailbox->to_housekeeping, &mail, 1) != 1)
        return false;
    mailbox->asked[kind] = number;
    return true;
}

bool mailbox_read_commands(struct mailbox *mailbox)
{
    struct command command;
    unsigned n = 0;
    if (!mailbox->commands)
        return false;
    for (; n < MAILBOX_COMMANDS_A_TURN; n++) {
        /* room for the question first: a command that was popped must not be lost */
        if (ring_count(mailbox->to_housekeeping) >= MAILBOX_ENTRIES / 2)
            break;
        if (ring_pop(mailbox->commands, &command, 1) != 1)
            break;
        if (command.op == COMMAND_USE && command.kind < TABLES_KINDS)
            (void)mailbox_ask(mailbox, command.kind, command.number);
    }
    return n > 0;
}

bool mailbox_next(struct mailbox *mailbox, struct mail *mail)
{
    return ring_pop(mailbox->from_housekeeping, mail, 1) == 1;
}

bool mailbox_give_back(struct mailbox *mailbox, enum tables_kind kind, uint64_t number,
                       void *object)
{
    struct mail mail = {.op = MAIL_FREE, .kind = kind, .number = number, .object = object};
    return ring_push(mailbox->to_housekeeping, &mail, 1) == 1;
}
