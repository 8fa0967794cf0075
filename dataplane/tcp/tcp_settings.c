/* SPDX-License-Identifier: BSD-3-Clause
 * The knobs of connections. A server's connections differ little: the stack has one table of settings, a
 * connection names an entry by a byte and shares it with all that have the same. So an idle connection pays
 * a byte for all knobs. Called by the user and by whoever makes and frees connections. Changes no queue
 * and sends nothing: it marks connections dirty.
 */
#include "tcp/tcp_internal.h"

#define KEEP_IDLE_DEFAULT     7200000u /* ms: RFC 9293 s3.8.4, MUST-28: two hours at least */
#define KEEP_INTERVAL_DEFAULT 75000u   /* ms, as Linux */
#define KEEP_COUNT_DEFAULT    9u
#define KEEP_COUNT_MAX        127u
#define QUICK_ACKS_WISHED     16u
#define UNSENT_LOW_MIN        4096u
#define SEND_BUFFER_MIN       4096u
#define WINDOW_MIN            2048u
#define MS_MAX                INT32_MAX

/* --- the table -------------------------------------------------------------------------------------- */

static uint16_t switch_bit(enum tcp_option_name name)
{
    static_assert(TCP_OPT_COUNT <= 16, "a bit per name");
    return (uint16_t)(1u << name);
}

/* An entry like `wanted`: one that is there, else a free one is filled. TG_FULL. */
static enum tg_err entry_find(struct tcp *tcp, const struct tcp_settings *wanted, uint8_t *entry)
{
    unsigned unused = TCP_SETTINGS_MAX;
    for (unsigned i = 0; i < TCP_SETTINGS_MAX; i++) {
        if (i > 0 && tcp->settings_users[i] == 0) {
            unused = i < unused ? i : unused;
            continue;
        }
        if (memcmp(&tcp->settings[i], wanted, sizeof *wanted) == 0) {
            *entry = (uint8_t)i;
            return TG_OK;
        }
    }
    if (unused == TCP_SETTINGS_MAX)
        return TG_FULL;
    tcp->settings[unused] = *wanted;
    *entry = (uint8_t)unused;
    return TG_OK;
}

void tcp_settings_use(struct tcp *tcp, uint8_t *name, uint8_t settings)
{
    tg_assert(*name == 0 || tcp->settings_users[*name] > 0);
    tcp->settings_users[settings] += settings ? 1 : 0;
    tcp->settings_users[*name] -= *name ? 1 : 0;
    *name = settings;
}

const char *tcp_settings_check(const struct tcp *tcp)
{
    uint32_t users[TCP_SETTINGS_MAX] = {0};
    for (uint32_t i = 0; i < tcp->pcbs.count; i++)
        if (pool_is_taken(&tcp->pcbs, i))
            users[tcp_pcb_at(tcp, i)->settings]++;
    for (unsigned i = 0; i < tcp->listener_count; i++)
        users[tcp->listeners[i].settings]++;
    users[0] = tcp->settings_users[0]; /* always there, whoever uses it */
    bool right = memcmp(users, tcp->settings_users, sizeof users) == 0;
    return right ? NULL : "settings: users";
}

/* --- one value ---------------------------------------------------------------------------------------- */

static bool within(uint64_t value, uint64_t low, uint64_t high)
{
    return low <= value && value <= high;
}

static bool value_valid(const struct tcp *tcp, enum tcp_option_name name, uint64_t value)
{
    switch (name) {
    case TCP_OPT_NAGLE:
    case TCP_OPT_CORK:
    case TCP_OPT_KEEPALIVE:
    case TCP_OPT_QUICKACK:
    case TCP_OPT_RESET_UNREAD:
        return value <= 1;
    case TCP_OPT_KEEP_IDLE:
    case TCP_OPT_KEEP_INTERVAL:
        return within(value, 1, MS_MAX);
    case TCP_OPT_KEEP_COUNT:
        return within(value, 1, KEEP_COUNT_MAX);
    case TCP_OPT_USER_TIMEOUT:
        return value <= MS_MAX;
    case TCP_OPT_NOTSENT_LOWAT:
        return within(value, UNSENT_LOW_MIN, (1u << 30) - 1);
    case TCP_OPT_CONGESTION:
        return value < TCP_CC_COUNT;
    case TCP_OPT_MSS:
        return value == 0 || within(value, TCP_MSS_FLOOR, UINT16_MAX);
    case TCP_OPT_RECEIVE_WINDOW:
        return within(value, WINDOW_MIN, tcp->config.receive_window_max);
    case TCP_OPT_SEND_BUFFER:
        return within(value, SEND_BUFFER_MIN, tcp->config.send_buffer_max);
    case TCP_OPT_DSCP:
        return value < 64;
    case TCP_OPT_COUNT:
        break;
    }
    return false;
}

/* Where a number lies in the settings; NULL: the option is none of the 32-bit ones. */
static uint32_t *settings_word(struct tcp_settings *s, enum tcp_option_name name)
{
    switch (name) {
    case TCP_OPT_KEEP_IDLE:
        return &s->keep_idle_ms;
    case TCP_OPT_KEEP_INTERVAL:
        return &s->keep_interval_ms;
    case TCP_OPT_USER_TIMEOUT:
        return &s->user_timeout_ms;
    case TCP_OPT_NOTSENT_LOWAT:
        return &s->unsent_low;
    case TCP_OPT_RECEIVE_WINDOW:
        return &s->receive_window;
    case TCP_OPT_SEND_BUFFER:
        return &s->send_buffer;
    default:
        return NULL;
    }
}

static void settings_set(struct tcp_settings *s, enum tcp_option_name name, uint64_t value)
{
    uint32_t *word = settings_word(s, name);
    if (word)
        *word = (uint32_t)value;
    else if (name == TCP_OPT_KEEP_COUNT)
        s->keep_count = (uint8_t)value;
    else if (name == TCP_OPT_MSS)
        s->mss_max = (uint16_t)value;
    else if (name == TCP_OPT_CONGESTION)
        s->congestion = (uint8_t)value;
    else if (name == TCP_OPT_DSCP)
        s->dscp = (uint8_t)value;
    else if (value)
        s->switches |= switch_bit(name);
    else
        s->switches &= (uint16_t)~switch_bit(name);
}

static uint64_t settings_get(const struct tcp_settings *s, enum tcp_option_name name)
{
    struct tcp_settings copy = *s;
    const uint32_t *word = settings_word(&copy, name);
    if (word)
        return *word;
    if (name == TCP_OPT_KEEP_COUNT)
        return s->keep_count;
    if (name == TCP_OPT_MSS)
        return s->mss_max;
    if (name == TCP_OPT_CONGESTION)
        return s->congestion;
    if (name == TCP_OPT_DSCP)
        return s->dscp;
    return s->switches >> name & 1;
}

bool tcp_settings_init(struct tcp *tcp)
{
    const struct tcp_config *c = &tcp->config;
    const uint64_t values[TCP_OPT_COUNT] = {
        [TCP_OPT_NAGLE] = c->nagle,
        [TCP_OPT_KEEPALIVE] = c->keepalive,
        [TCP_OPT_KEEP_IDLE] = c->keep_idle_ms ? c->keep_idle_ms : KEEP_IDLE_DEFAULT,
        [TCP_OPT_KEEP_INTERVAL] = c->keep_interval_ms ? c->keep_interval_ms : KEEP_INTERVAL_DEFAULT,
        [TCP_OPT_KEEP_COUNT] = c->keep_count ? c->keep_count : KEEP_COUNT_DEFAULT,
        [TCP_OPT_USER_TIMEOUT] = c->user_timeout_ms,
        [TCP_OPT_NOTSENT_LOWAT] = c->unsent_low,
        [TCP_OPT_CONGESTION] = c->congestion,
        [TCP_OPT_RECEIVE_WINDOW] = c->receive_window_max,
        [TCP_OPT_SEND_BUFFER] = c->send_buffer_max,
        [TCP_OPT_RESET_UNREAD] = 1,
    };
    for (unsigned name = 0; name < TCP_OPT_COUNT; name++) {
        bool capped = name == TCP_OPT_SEND_BUFFER; /* tests and tools may have smaller ones */
        if (!capped && !value_valid(tcp, (enum tcp_option_name)name, values[name]))
            return false;
        settings_set(&tcp->settings[0], (enum tcp_option_name)name, values[name]);
    }
    return true;
}

/* --- a connection's ----------------------------------------------------------------------------------- */

/* Segments of our own shrink as if the peer had asked for it. */
static void mss_cap(struct tcp_pcb *pcb, uint16_t mss_max)
{
    if (mss_max == 0 || pcb->peer_mss <= mss_max) /* no SYN of the peer yet: 0 */
        return;
    pcb->peer_mss = mss_max;
    tcp_mss_update(pcb);
}

static bool option_is_patience(enum tcp_option_name name)
{
    return name == TCP_OPT_KEEPALIVE || name == TCP_OPT_KEEP_IDLE ||
           name == TCP_OPT_KEEP_INTERVAL || name == TCP_OPT_USER_TIMEOUT;
}

/* What of a change counts at once. */
static void change_apply(struct tcp *tcp, struct tcp_pcb *pcb, enum tcp_option_name name)
{
    if (name == TCP_OPT_MSS)
        mss_cap(pcb, tcp_settings_of(tcp, pcb)->mss_max);
    if (!pcb->act) {
        if (option_is_patience(name))
            tcp_keepalive_sleeps(tcp, pcb);
        return;
    }
    if (name == TCP_OPT_NAGLE || name == TCP_OPT_RECEIVE_WINDOW)
        tcp_mark_dirty(tcp, pcb); /* what was held back may leave; the window may be told */
    if (option_is_patience(name))
        tcp_patience_changed(tcp, pcb);
    if (name == TCP_OPT_NOTSENT_LOWAT || name == TCP_OPT_SEND_BUFFER)
        tcp_event_writable(tcp, pcb);
}

static void quick_ack_set(struct tcp *tcp, struct tcp_pcb *pcb, bool quick)
{
    pcb->quick_acks = quick ? QUICK_ACKS_WISHED : 0;
    pcb->flags &= ~(uint32_t)TCP_F_PINGPONG;
    if (quick && tcp_has(pcb, TCP_F_ACK_DELAYED)) {
        pcb->flags |= TCP_F_ACK_NOW;
        tcp_mark_dirty(tcp, pcb);
    }
}

static void congestion_set(struct tcp_pcb *pcb, enum tcp_congestion_id id)
{
    pcb->congestion = tcp_congestion_of(id);
    if (pcb->act && pcb->act->cwnd)
        pcb->congestion->start(pcb);
}

static enum tg_err shared_set(struct tcp *tcp, uint8_t *entry, enum tcp_option_name name,
                              uint64_t value)
{
    struct tcp_settings wanted = tcp->settings[*entry];
    uint8_t found;
    settings_set(&wanted, name, value);
    /* The last user of an entry leaves it: its slot may serve the new one. */
    bool last = *entry && tcp->settings_users[*entry] == 1;
    enum tg_err err = entry_find(tcp, &wanted, &found);
    if (err == TG_FULL && last) {
        tcp->settings[*entry] = wanted;
        return TG_OK;
    }
    if (err == TG_OK)
        tcp_settings_use(tcp, entry, found);
    return err;
}

enum tg_err tcp_set_option(struct tcp *tcp, tcp_handle h, enum tcp_option_name name, uint64_t value)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb || tcp_has(pcb, TCP_F_DETACHED))
        return TG_STALE;
    if (!value_valid(tcp, name, value))
        return TG_BAD_CONFIG;
    if (name == TCP_OPT_CORK) {
        tcp_cork(tcp, h, value);
        return TG_OK;
    }
    if (name == TCP_OPT_QUICKACK) {
        quick_ack_set(tcp, pcb, value);
        return TG_OK;
    }
    enum tg_err err = shared_set(tcp, &pcb->settings, name, value);
    if (err != TG_OK)
        return err;
    if (name == TCP_OPT_CONGESTION)
        congestion_set(pcb, (enum tcp_congestion_id)value);
    else
        change_apply(tcp, pcb, name);
    return TG_OK;
}

enum tg_err tcp_get_option(const struct tcp *tcp, tcp_handle h, enum tcp_option_name name,
                           uint64_t *value)
{
    const struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb)
        return TG_STALE;
    if ((unsigned)name >= TCP_OPT_COUNT)
        return TG_BAD_CONFIG;
    if (name == TCP_OPT_CORK)
        *value = tcp_has(pcb, TCP_F_CORK);
    else if (name == TCP_OPT_QUICKACK)
        *value = pcb->quick_acks > 0;
    else
        *value = settings_get(tcp_settings_of(tcp, pcb), name);
    return TG_OK;
}

/* --- a listener's --------------------------------------------------------------------------------------- */

enum tg_err tcp_set_listen_option(struct tcp *tcp, uint16_t port, enum tcp_option_name name,
                                  uint64_t value)
{
    if (name == TCP_OPT_CORK || name == TCP_OPT_QUICKACK || !value_valid(tcp, name, value))
        return TG_BAD_CONFIG;
    for (unsigned i = 0; i < tcp->listener_count; i++)
        if (tcp->listeners[i].port == port)
            return shared_set(tcp, &tcp->listeners[i].settings, name, value);
    return TG_NOT_FOUND;
}

void tcp_settings_inherit(struct tcp *tcp, struct tcp_pcb *pcb)
{
    const struct tcp_listener *listener = tcp_listener_find(tcp, pcb->tuple.local_port);
    if (!listener || listener->settings == pcb->settings)
        return;
    tcp_settings_use(tcp, &pcb->settings, listener->settings);
    const struct tcp_settings *s = tcp_settings_of(tcp, pcb);
    pcb->congestion = tcp_congestion_of((enum tcp_congestion_id)s->congestion);
    mss_cap(pcb, s->mss_max);
}
