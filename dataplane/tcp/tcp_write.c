/* SPDX-License-Identifier: BSD-3-Clause
 * The user writes: reserve and commit, copy, or queue a frame as it is. Called by the user between
 * tcp_input and tcp_output; changes the send queue only, tcp_out sends.
 */
#include "tcp/tcp_governor.h"

static bool pcb_may_write(const struct tcp_pcb *pcb)
{
    return (pcb->state == TCP_S_ESTABLISHED || pcb->state == TCP_S_CLOSE_WAIT) &&
           !tcp_has(pcb, TCP_F_DETACHED | TCP_F_FIN_WISH | TCP_F_FIN_QUEUED);
}

/* Unsent bytes stop at twice the level at which WRITABLE is reported: a slow peer costs its window, not
 * the whole send buffer. */
static uint32_t pcb_writable(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    uint32_t queued = pcb->snd_end - pcb->snd_una, unsent = pcb->snd_end - pcb->snd_nxt;
    const struct tcp_settings *settings = tcp_settings_of(tcp, pcb);
    uint32_t unsent_max = 2 * settings->unsent_low;
    if (!pcb_may_write(pcb) || queued >= settings->send_buffer || unsent >= unsent_max ||
        (pcb->act && pcb->act->snd_segments >= tcp->segments_max))
        return 0;
    return u32_min(settings->send_buffer - queued, unsent_max - unsent);
}

uint32_t tcp_writable(const struct tcp *tcp, tcp_handle h)
{
    const struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    return pcb ? pcb_writable(tcp, pcb) : 0;
}

/* Bytes that the last segment can still take, 0 when it has left or has a FIN. */
static uint32_t tail_room(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    const struct buf *tail = pcb->act->snd_unsent ? pcb->act->snd_last : NULL;
    if (!tail || tail->flags & BUF_TX_FIN || !segment_writable(tcp, tail) || tail->len >= pcb->mss)
        return 0;
    return u32_min(buf_tailroom(tail), pcb->mss - tail->len);
}

static void tail_extend(struct tcp_pcb *pcb, uint32_t n)
{
    pcb->act->snd_last->seq_end += n;
    pcb->snd_end += n;
}

/* The connection of a handle, awake; TG_STALE, TG_AGAIN: nothing to wake it with, WRITABLE follows. */
static enum tg_err writer_find(struct tcp *tcp, tcp_handle h, struct tcp_pcb **found)
{
    struct tcp_pcb *pcb = *found = tcp_pcb_find(tcp, h);
    if (!pcb)
        return TG_STALE;
    if (tcp_wake(tcp, pcb))
        return TG_OK;
    pcb->flags |= TCP_F_WANT_WRITE;
    tcp_wait_in_line(tcp, pcb);
    return TG_AGAIN;
}

/* The same, and it can take a byte at least. */
static enum tg_err writer_begin(struct tcp *tcp, tcp_handle h, struct tcp_pcb **found)
{
    enum tg_err err = writer_find(tcp, h, found);
    if (err != TG_OK || pcb_writable(tcp, *found) > 0)
        return err;
    (*found)->flags |= TCP_F_WANT_WRITE;
    return TG_AGAIN;
}

/* No frame: the wish makes WRITABLE come, by the clock when nothing else moves. */
static void writer_starved(struct tcp *tcp, struct tcp_pcb *pcb)
{
    pcb->flags |= TCP_F_WANT_WRITE;
    tcp_deadline_set(tcp, pcb, TCP_D_REPAIR, tcp->now + TCP_REPAIR);
}

enum tg_err tcp_reserve(struct tcp *tcp, tcp_handle h, size_t min, struct span_room *room)
{
    struct tcp_pcb *pcb;
    enum tg_err err = writer_begin(tcp, h, &pcb);
    if (err != TG_OK)
        return err;
    tg_assert(min <= pcb->mss);
    tcp_reservation_free(tcp, pcb);
    uint32_t len = tail_room(tcp, pcb);
    if (len >= min && len > 0) {
        pcb->act->reserved = pcb->act->snd_last;
    } else {
        pcb->act->reserved = tcp_governor_alloc(tcp, pcb);
        if (!pcb->act->reserved) {
            writer_starved(tcp, pcb);
            return TG_NO_MEMORY;
        }
        len = u32_min(buf_tailroom(pcb->act->reserved), pcb->mss);
    }
    *room = (struct span_room){pcb->act->reserved->data + pcb->act->reserved->len, len};
    return TG_OK;
}

void tcp_commit(struct tcp *tcp, tcp_handle h, size_t n)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb || !pcb->act) /* asleep: nothing was reserved */
        return;
    struct buf *b = pcb->act->reserved;
    if (n == 0 || !b) {
        tg_assert(n == 0 || !pcb_may_write(pcb)); /* committed in another turn than reserved */
        tcp_reservation_free(tcp, pcb);
        return;
    }
    pcb->act->reserved = NULL;
    buf_put(b, (uint16_t)n);
    if (b == pcb->act->snd_last)
        tail_extend(pcb, (uint32_t)n);
    else
        tcp_segment_append(pcb, b);
    tg_assert(b->len <= pcb->mss);
    tcp_mark_dirty(tcp, pcb);
}

/* Copy the front of *bytes into the queue's tail or a new frame; returns how many (0: pool empty). */
static size_t write_piece(struct tcp *tcp, struct tcp_pcb *pcb, struct span bytes)
{
    uint32_t room = tail_room(tcp, pcb);
    struct buf *b = pcb->act->snd_last;
    if (!room) {
        b = tcp_governor_alloc(tcp, pcb);
        if (!b)
            return 0;
        room = u32_min(buf_tailroom(b), pcb->mss);
    }
    size_t n = bytes.len < room ? bytes.len : room;
    memcpy(buf_put(b, (uint16_t)n), bytes.data, n);
    if (b == pcb->act->snd_last)
        tail_extend(pcb, (uint32_t)n);
    else
        tcp_segment_append(pcb, b);
    return n;
}

size_t tcp_write(struct tcp *tcp, tcp_handle h, struct span bytes)
{
    struct tcp_pcb *pcb;
    if (bytes.len == 0 || writer_find(tcp, h, &pcb) != TG_OK)
        return 0;
    tcp_reservation_free(tcp, pcb);
    size_t taken = 0;
    for (;;) {
        uint32_t writable = pcb_writable(tcp, pcb);
        struct span rest = span_slice(bytes, taken, writable);
        if (rest.len == 0)
            break;
        size_t n = write_piece(tcp, pcb, rest);
        if (n == 0) {
            writer_starved(tcp, pcb);
            break;
        }
        taken += n;
    }
    if (taken < bytes.len)
        pcb->flags |= TCP_F_WANT_WRITE;
    if (taken)
        tcp_mark_dirty(tcp, pcb);
    return taken;
}

/* --- whole frames ------------------------------------------------------------------------------------ */

/* The frame can be a segment as it is: one piece, ours alone, room for the headers. */
static bool frame_usable(const struct tcp *tcp, const struct tcp_pcb *pcb, const struct buf *b)
{
    return !b->next && !b->external && b->len <= pcb->mss && buf_headroom(b) >= TCP_HEADERS_MAX &&
           segment_writable(tcp, b);
}

/* Append the chain's bytes by copy; all or nothing, so that the caller can keep its frame. */
static bool frame_copy(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b)
{
    struct buf_queue fresh = {0};
    for (const struct buf *piece = b; piece; piece = piece->next) {
        for (uint32_t at = 0, n; at < piece->len; at += n) {
            if (!fresh.last || fresh.last->len >= pcb->mss || !buf_tailroom(fresh.last)) {
                struct buf *next = tcp_governor_alloc(tcp, pcb);
                if (!next) {
                    tcp_queue_free(tcp, fresh.first);
                    return false;
                }
                buf_queue_push(&fresh, next);
            }
            n = u32_min(u32_min(piece->len - at, pcb->mss - fresh.last->len),
                        buf_tailroom(fresh.last));
            memcpy(buf_put(fresh.last, (uint16_t)n), piece->data + at, n);
        }
    }
    for (struct buf *next; (next = buf_queue_pop(&fresh));)
        tcp_segment_append(pcb, next);
    return true;
}

enum tg_err tcp_send_buf(struct tcp *tcp, tcp_handle h, struct buf *b)
{
    struct tcp_pcb *pcb;
    enum tg_err err = writer_begin(tcp, h, &pcb);
    if (err != TG_OK)
        return err;
    tcp_reservation_free(tcp, pcb);
    uint32_t len = buf_chain_len(b);
    if (len == 0) {
        buf_unref(tcp->pool, b);
        return TG_OK;
    }
    if (len < BUF_COPY_BELOW && !b->next && len <= tail_room(tcp, pcb)) {
        memcpy(buf_put(pcb->act->snd_last, (uint16_t)len), b->data, len);
        tail_extend(pcb, len);
        buf_unref(tcp->pool, b);
    } else if (frame_usable(tcp, pcb, b)) {
        if (!tcp_governor_sends(tcp, pcb)) {
            writer_starved(tcp, pcb);
            return TG_AGAIN;
        }
        tcp_segment_append(pcb, b);
    } else if (frame_copy(tcp, pcb, b)) {
        buf_unref(tcp->pool, b);
    } else {
        writer_starved(tcp, pcb);
        return TG_AGAIN;
    }
    tcp_mark_dirty(tcp, pcb);
    return TG_OK;
}

void tcp_cork(struct tcp *tcp, tcp_handle h, bool corked)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb || tcp_has(pcb, TCP_F_CORK) == corked)
        return;
    pcb->flags ^= TCP_F_CORK;
    pcb->flags &= ~(uint32_t)TCP_F_CORK_SPENT;
    if (!corked && pcb->act)
        tcp_deadline_clear(pcb, TCP_D_CORK);
    if (!corked && pcb->act && pcb->act->snd_unsent)
        tcp_mark_dirty(tcp, pcb);
}
