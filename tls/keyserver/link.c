/* SPDX-License-Identifier: BSD-3-Clause
 * One connection of an edge: see link.h.
 */
#include "tls/keyserver/link.h"

#include "base/log.h"
#include "tls/keyserver/answer.h"

#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum tg_err link_open(struct link *link, struct setup *setup, int fd, const char *peer, tg_ns now)
{
    *link = (struct link){.fd = fd, .state = LINK_HANDSHAKE};
    link->deadline = now + setup->settings.handshake_ms * TG_MS;
    snprintf(link->peer, sizeof link->peer, "%s", peer);
    link->ssl = SSL_new(setup->ctx);
    if (link->ssl && SSL_set_fd(link->ssl, fd) == 1) {
        SSL_set_accept_state(link->ssl);
        return TG_OK;
    }
    link_close(link);
    return TG_NO_MEMORY;
}

void link_close(struct link *link)
{
    SSL_free(link->ssl);
    free(link->in);
    free(link->out);
    close(link->fd);
    *link = (struct link){.fd = -1, .state = LINK_OVER};
}

void link_drain(struct link *link)
{
    if (link->state == LINK_OPEN)
        link->state = LINK_DRAIN;
    else if (link->state == LINK_HANDSHAKE)
        link->state = LINK_OVER;
}

/* An answer has at most as many bytes as the largest packet. */
static bool out_has_room(const struct link *link)
{
    return LINK_OUT_BYTES - (link->out_len - link->out_at) >= KEYMSG_PACKET_MAX;
}

short link_events(const struct link *link)
{
    if (link->wants_write)
        return link->state == LINK_OPEN && out_has_room(link) ? POLLIN | POLLOUT : POLLOUT;
    if (link->state == LINK_HANDSHAKE || (link->state == LINK_OPEN && out_has_room(link)))
        return POLLIN;
    return 0;
}

/* --- handshake --------------------------------------------------------------------------------- */

/* libcrypto's reason of the last failure, for a log line; empties its queue. */
static const char *reason_take(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason ? reason : "the connection ended";
}

/* Who is it? The subject of the certificate, as it stands in the configuration. */
static bool subject_read(struct link *link)
{
    X509 *certificate = SSL_get0_peer_certificate(link->ssl);
    BIO *bio = BIO_new(BIO_s_mem());
    int n = -1;
    if (certificate && bio &&
        X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(bio, link->subject, sizeof link->subject);
    BIO_free(bio);
    if (n < 0 || (size_t)n >= sizeof link->subject) {
        link->subject[0] = 0;
        return false;
    }
    link->subject[n] = 0;
    return memchr(link->subject, 0, (size_t)n) == NULL;
}

static void handshake_finish(struct link *link, struct setup *setup, tg_ns now)
{
    link->state = LINK_OVER;
    if (!subject_read(link)) {
        log_warn("%s: its certificate has no usable subject", link->peer);
        return;
    }
    link->client = access_find(setup->access, link->subject);
    if (!link->client) {
        log_warn("%s: client \"%s\" is not in %s", link->peer, link->subject, setup->settings.path);
        return;
    }
    link->in = malloc(KEYMSG_PACKET_MAX);
    link->out = malloc(LINK_OUT_BYTES);
    if (!link->in || !link->out)
        return;
    log_info("%s: client \"%s\" is here (%s)", link->peer, link->subject,
             SSL_get_version(link->ssl));
    link->state = LINK_OPEN;
    link->deadline = now + setup->settings.idle_ms * TG_MS;
}

static void handshake_step(struct link *link, struct setup *setup, tg_ns now)
{
    ERR_clear_error();
    int result = SSL_do_handshake(link->ssl);
    int error = SSL_get_error(link->ssl, result);
    link->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (result == 1) {
        handshake_finish(link, setup, now);
    } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        log_warn("%s: no handshake: %s", link->peer, reason_take());
        link->state = LINK_OVER;
    }
}

/* --- packets ----------------------------------------------------------------------------------- */

static void out_compact(struct link *link)
{
    memmove(link->out, link->out + link->out_at, link->out_len - link->out_at);
    link->out_len -= link->out_at;
    link->out_at = 0;
}

static void packet_answer(struct link *link, struct setup *setup, struct span packet, tg_ns now,
                          uint64_t wall_ns)
{
    struct answer_asker asker = {link->client, link->peer, now, wall_ns};
    struct keymsg request;
    struct answer answer;
    if (keymsg_decode(packet, &request) != TG_OK) {
        log_warn("%s: client \"%s\" sends a malformed packet", link->peer, link->subject);
        link->state = LINK_OVER; /* as the reference does: no answer */
        return;
    }
    out_compact(link);
    answer_make(setup, &asker, &request, &answer);
    struct span_writer w = span_writer_make(link->out, LINK_OUT_BYTES);
    w.len = link->out_len;
    enum tg_err err = keymsg_encode(&answer.reply, &w);
    tg_assert(err == TG_OK);
    link->out_len = w.len;
    link->answered++;
    link->deadline = now + setup->settings.idle_ms * TG_MS;
}

/* The first packet of what is here, answered; false: it is not all here. */
static bool packet_take(struct link *link, struct setup *setup, tg_ns now, uint64_t wall_ns)
{
    size_t len;
    if (keymsg_length(span_make(link->in, link->in_len), &len) != TG_OK || len > link->in_len)
        return false;
    packet_answer(link, setup, span_make(link->in, len), now, wall_ns);
    memmove(link->in, link->in + len, link->in_len - len);
    link->in_len -= len;
    return true;
}

/* More bytes from the peer; false: none now, or never again. */
static bool in_fill(struct link *link)
{
    size_t n = 0;
    ERR_clear_error();
    if (SSL_read_ex(link->ssl, link->in + link->in_len, KEYMSG_PACKET_MAX - link->in_len, &n) ==
        1) {
        link->in_len += n;
        return true;
    }
    int error = SSL_get_error(link->ssl, 0);
    if (error == SSL_ERROR_ZERO_RETURN) {
        link->state = LINK_DRAIN;
    } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        if (error == SSL_ERROR_SSL)
            log_warn("%s: client \"%s\": %s", link->peer, link->subject, reason_take());
        link->state = LINK_OVER;
    }
    return false;
}

static void requests_step(struct link *link, struct setup *setup, tg_ns now, uint64_t wall_ns)
{
    unsigned taken = 0;
    while (link->state == LINK_OPEN && taken < LINK_SHARE && out_has_room(link)) {
        if (packet_take(link, setup, now, wall_ns))
            taken++;
        else if (!in_fill(link))
            return;
    }
    link->busy = link->state == LINK_OPEN;
}

static void out_step(struct link *link)
{
    link->wants_write = false;
    while (link->out_at < link->out_len) {
        size_t n = 0;
        ERR_clear_error();
        if (SSL_write_ex(link->ssl, link->out + link->out_at, link->out_len - link->out_at, &n)) {
            link->out_at += n;
            continue;
        }
        int error = SSL_get_error(link->ssl, 0);
        if (error == SSL_ERROR_WANT_WRITE)
            link->wants_write = true;
        else if (error != SSL_ERROR_WANT_READ)
            link->state = LINK_OVER;
        return;
    }
}

/* Everything is said: close_notify, as far as the socket takes it at once. */
static void drain_step(struct link *link)
{
    if (link->out_at < link->out_len)
        return;
    SSL_shutdown(link->ssl);
    ERR_clear_error();
    link->state = LINK_OVER;
}

void link_step(struct link *link, struct setup *setup, tg_ns now, uint64_t wall_ns)
{
    link->busy = false;
    if (now >= link->deadline)
        link->state = LINK_OVER;
    if (link->state == LINK_HANDSHAKE)
        handshake_step(link, setup, now);
    if (link->state == LINK_OPEN)
        requests_step(link, setup, now, wall_ns);
    if (link->state == LINK_OPEN || link->state == LINK_DRAIN)
        out_step(link);
    /* without room the socket will wake us; with room nobody would */
    link->busy = link->busy && link->state == LINK_OPEN && out_has_room(link);
    if (link->state == LINK_DRAIN)
        drain_step(link);
}

void link_rebind(struct link *link, struct setup *setup)
{
    if (link->state != LINK_OPEN && link->state != LINK_DRAIN)
        return;
    link->client = access_find(setup->access, link->subject);
    if (!link->client) {
        log_warn("%s: client \"%s\" is no longer in %s", link->peer, link->subject,
                 setup->settings.path);
        link_drain(link);
    }
}
