/* SPDX-License-Identifier: BSD-3-Clause
 * The list of counters and drop reasons. It stands on floor 0 so that every floor can count; where the
 * block lies (the shared region, a test's stack) is contract/counters.h's or the test's business. One
 * worker writes a block; anybody may read it (64-bit aligned loads do not tear).
 * A bad packet costs one of these and one branch, never a log line.
 */
#ifndef BASE_STATS_H
#define BASE_STATS_H

#include "base/types.h"

/*     name                       meaning (unit: events unless the name says bytes or ns) */
#define TG_COUNTERS(X)                                                                             \
    X(none, "never counted: 'no reason'")                                                          \
    /* io */                                                                                       \
    X(io_rx_packets, "frames received")                                                            \
    X(io_rx_bytes, "bytes received")                                                               \
    X(io_tx_packets, "frames sent")                                                                \
    X(io_tx_bytes, "bytes sent")                                                                   \
    X(io_tx_full, "frames dropped: transmit queue full")                                           \
    X(io_tx_refused, "frames dropped: the port's driver refuses them")                             \
    X(io_tx_tso_frames, "super-segments given to a port")                                          \
    X(io_tx_tso_segments, "segments that ports made of them")                                      \
    X(io_tx_linearised, "chains copied because the port sends no chains")                          \
    X(io_rx_too_big, "frames dropped: larger than a buffer")                                       \
    X(io_handoff_out, "frames handed to another worker")                                           \
    X(io_handoff_in, "frames taken from another worker")                                           \
    X(io_handoff_full, "frames dropped: hand-off ring full")                                       \
    X(io_pool_empty, "allocations refused: buffer pool empty")                                     \
    X(io_rx_missed, "frames lost before us: receive ring full, no free frame, or no worker")       \
    X(io_driver_drops, "frames dropped in the driver (XDP); their reasons are counted too")        \
    X(io_waits, "times the worker slept in io_wait")                                               \
    /* worker */                                                                                   \
    X(worker_polls, "turns of the worker loop")                                                    \
    X(worker_polls_busy, "turns that found work")                                                  \
    X(worker_busy_ns, "time in turns that found work")                                             \
    X(worker_disturbed, "turns of more than 50 us of which the clock says we did not run")         \
    X(worker_tables_taken, "generations put into force")                                           \
    /* net: drops while parsing */                                                                 \
    X(net_short_frame, "drop: frame shorter than its headers")                                     \
    X(net_ethertype, "drop: EtherType not handled")                                                \
    X(net_not_for_us, "drop: destination MAC or address is not ours")                              \
    X(net_ip4_header, "drop: IPv4 header length or version")                                       \
    X(net_ip4_length, "drop: IPv4 total length lies")                                              \
    X(net_ip4_checksum, "drop: IPv4 header checksum")                                              \
    X(net_ip4_options, "drop: IPv4 options")                                                       \
    X(net_ip6_length, "drop: IPv6 payload length lies")                                            \
    X(net_ip6_extensions, "drop: IPv6 extension header chain too long, unknown or malformed")      \
    X(net_fragment, "drop: fragment")                                                              \
    X(net_address, "drop: source or destination address not allowed (martian)")                    \
    X(net_protocol, "drop: transport protocol not handled")                                        \
    X(net_l4_short, "drop: shorter than the transport header")                                     \
    X(net_l4_checksum, "drop: TCP, UDP or ICMP checksum")                                          \
    X(net_tcp_offset, "drop: TCP data offset")                                                     \
    X(net_tcp_port, "drop: TCP port 0")                                                            \
    /* net: neighbours and ICMP */                                                                 \
    X(net_arp_in, "ARP packets taken")                                                             \
    X(net_arp_bad, "drop: malformed ARP")                                                          \
    X(net_nd_in, "IPv6 neighbour discovery packets taken")                                         \
    X(net_nd_bad, "drop: malformed neighbour discovery")                                           \
    X(net_icmp_in, "ICMP and ICMPv6 packets taken")                                                \
    X(net_icmp_bad, "drop: malformed ICMP")                                                        \
    X(net_icmp_echo, "echo requests answered")                                                     \
    X(net_icmp_limited, "ICMP answers withheld by the rate limit")                                 \
    X(net_icmp_too_big, "packet-too-big messages taken")                                           \
    X(net_neigh_full, "neighbour entries refused: table full")                                     \
    X(net_neigh_queue_full, "drop: neighbour did not answer, or its queue is full")                \
    X(net_super_segments_cut, "super-segments cut by us because the port does not")                \
    X(net_no_route, "drop: no route")                                                              \
    /* filter */                                                                                   \
    X(filter_rule, "drop: matched a drop rule")                                                    \
    /* steer */                                                                                    \
    X(steer_local, "packets kept")                                                                 \
    X(steer_core, "packets given to another worker")                                               \
    X(steer_node, "packets given to another node")                                                 \
    X(steer_punt, "packets given to the kernel")                                                   \
    X(steer_rst, "packets answered with RST")                                                      \
    X(steer_drop, "drop: nobody's")                                                                \
    X(steer_hash_wrong, "ports whose RSS hash is not ours: software hashes")                       \
    X(steer_hash_misplaced, "frames of the trial that RSS gave to the wrong worker")               \
    X(steer_by_bucket, "strangers' packets: node found by the bucket table")                       \
    X(steer_by_timestamp, "strangers' packets: owner found by the timestamp that it echoes")       \
    X(steer_by_sequence, "strangers' packets: site found by the sequence number")                  \
    X(steer_tunnel_out, "packets sent to another node through the tunnel")                         \
    X(steer_tunnel_in, "packets received through the tunnel")                                      \
    X(steer_tunnel_returned, "packets returned to their ingress: no such connection here")         \
    X(steer_tunnel_back, "packets that came back: no such connection there")                       \
    X(steer_tunnel_limited, "drop: source sends too many packets for other nodes")                 \
    X(steer_tunnel_too_big, "drop: no room for the tunnel within the MTU")                         \
    X(steer_tunnel_no_path, "drop: no tunnel address of a family that both nodes have")            \
    X(steer_tunnel_bad_header, "drop: malformed tunnel header")                                    \
    X(steer_tunnel_not_fleet, "drop: tunnelled by nobody of the fleet, or for another node")       \
    X(steer_tunnel_old, "drop: tunnelled too long ago, or in the future")                          \
    X(steer_tunnel_key, "drop: tunnelled under an unknown key")                                    \
    X(steer_tunnel_bad_mac, "drop: tunnelled with a wrong MAC")                                    \
    X(steer_tunnel_loop, "drop: tunnelled too often, or back at its ingress")                      \
    /* exception: between port 0 and the kernel */                                                 \
    X(exception_in, "frames given to the kernel")                                                  \
    X(exception_out, "frames of the kernel sent")                                                  \
    X(exception_policed, "drop: more than the kernel may get")                                     \
    X(exception_policed_control, "drop: more BFD, BGP, ARP, ND or ICMP errors than it may get")    \
    X(exception_full, "drop: ring to the kernel full")                                             \
    X(exception_refused, "drop: not taken by the kernel: the TAP is down")                         \
    /* tcp */                                                                                      \
    X(tcp_in_segments, "segments taken")                                                           \
    X(tcp_gro_joined, "segments taken in one pass with the one before")                            \
    X(tcp_out_segments, "segments sent")                                                           \
    X(tcp_out_rst, "RSTs sent")                                                                    \
    X(tcp_accepted, "connections accepted")                                                        \
    X(tcp_connected, "connections opened by us")                                                   \
    X(tcp_connect_failed, "active opens that failed")                                              \
    X(tcp_closed, "connections closed in order")                                                   \
    X(tcp_reset_in, "connections reset by the peer")                                               \
    X(tcp_aborted, "connections aborted by us")                                                    \
    X(tcp_timed_out, "connections given up after retransmissions")                                 \
    X(tcp_no_connection, "segments for no connection")                                             \
    X(tcp_no_listener, "SYNs for a port that nobody listens on")                                   \
    X(tcp_backlog_full, "SYNs dropped: half-open limit, and no SYN cookie or frame")               \
    X(tcp_full, "connections refused: connection table full")                                      \
    X(tcp_active_full, "segments and opens refused: no active part free")                          \
    X(tcp_sleeps, "idle connections that gave up their active part")                               \
    X(tcp_pressure_tight, "times frames got short: windows shrink")                                \
    X(tcp_pressure_cookies, "times frames got short: SYNs get cookies only")                       \
    X(tcp_pressure_shed, "times frames got short: memory was shed")                                \
    X(tcp_shed_pieces, "out-of-order segments dropped: memory short")                              \
    X(tcp_shed_copied, "segments copied into a neighbour's frame: memory short")                   \
    X(tcp_shed_orphans, "closed connections reset before their end: table full")                   \
    X(tcp_shed_refused, "connections not accepted or opened: memory short")                        \
    X(tcp_shed_connections, "connections reset that held most frames for longest: memory short")   \
    X(tcp_revived, "backoffs undone: our own lack of frames had caused them")                      \
    X(tcp_shed_text, "segments dropped: only the reserve of frames was left")                      \
    X(tcp_bad_options, "segments dropped: malformed options")                                      \
    X(tcp_bad_segment, "segments dropped: illegal flags")                                          \
    X(tcp_out_of_window, "segments dropped: outside the window")                                   \
    X(tcp_paws, "segments dropped: PAWS")                                                          \
    X(tcp_bad_ack, "segments dropped: ACK of data never sent")                                     \
    X(tcp_syn_cookies_sent, "SYNs answered with a SYN cookie: half-open limit")                    \
    X(tcp_syn_cookies_accepted, "connections made of a SYN cookie's ACK")                          \
    X(tcp_syn_cookies_bad, "ACKs that were no SYN cookie's, while some were out")                  \
    X(tcp_syn_cookies_limited, "SYN cookies' ACKs dropped: too many a second")                     \
    X(tcp_challenge_ack, "challenge ACKs sent (RFC 5961)")                                         \
    X(tcp_duplicate, "segments without new data")                                                  \
    X(tcp_out_of_order, "segments queued out of order")                                            \
    X(tcp_ooo_full, "drop: out-of-order queue full")                                               \
    X(tcp_rcv_full, "drop: beyond the receive window's memory")                                    \
    X(tcp_retransmits, "segments sent again")                                                      \
    X(tcp_rto, "retransmission timeouts")                                                          \
    X(tcp_fast_retransmit, "fast retransmits entered")                                             \
    X(tcp_tail_probes, "tail loss probes sent (RFC 8985)")                                         \
    X(tcp_tail_losses, "losses that a tail loss probe repaired")                                   \
    X(tcp_recoveries_undone, "recoveries that were for nothing and were undone")                   \
    X(tcp_dsacks, "duplicates that peers told of (RFC 2883)")                                      \
    X(tcp_sack_walks_cut, "ACKs whose SACK blocks cost too much, in part ignored")                 \
    X(tcp_ecn_marks, "segments that came marked: congestion experienced (RFC 3168)")               \
    X(tcp_ecn_cuts, "windows cut because the peer echoed a mark")                                  \
    X(tcp_zero_window_probes, "zero window probes sent")                                           \
    X(tcp_keepalive_probes, "keepalive probes sent")                                               \
    X(tcp_keepalive_dead, "connections given up after keepalive probes")                           \
    X(tcp_time_wait, "connections that entered TIME-WAIT")                                         \
    X(tcp_icmp_errors, "ICMP errors applied to a connection")                                      \
    X(tcp_windows_grown, "receive windows grown for a fast reader")                                \
    X(tcp_mtu_reduced, "path MTU lowered")                                                         \
    X(tcp_mtu_raised, "path MTU raised by a probe that passed")                                    \
    X(tcp_mtu_probes, "path MTU probes sent")                                                      \
    X(tcp_mtu_probes_lost, "path MTU probes lost")                                                 \
    X(tcp_black_holes, "path MTU lowered after timeouts of large segments")                        \
    /* tls */                                                                                      \
    X(tls_handshakes, "handshakes finished")                                                       \
    X(tls_handshakes_failed, "handshakes failed")                                                  \
    X(tls_no_certificate, "handshakes refused: no certificate for the name")                       \
    X(tls_bad_records, "connections ended by a broken record")                                     \
    X(tls_early_accepted, "first flights with early data (0-RTT) accepted")                        \
    X(tls_early_refused,                                                                           \
      "early data refused: another node's ticket, too old, or we are too young")                   \
    X(tls_early_replayed, "early data refused: the flight has been here before")                   \
    /* private keys elsewhere */                                                                   \
    X(keyless_requests, "private key operations needed from a key server")                         \
    X(keyless_answers, "private key operations answered")                                          \
    X(keyless_timeouts, "private key operations given up at their deadline")                       \
    X(keyless_errors, "private key operations refused, or without a key server to ask")            \
    X(keyless_late, "answers of key servers that nobody waited for any more")                      \
    X(keyless_retries, "private key operations asked of another connection too")                   \
    X(keyless_connects, "connections to key servers opened")                                       \
    X(keyless_connect_failed, "connections to key servers refused, timed out or not trusted")      \
    X(keyless_lost, "open connections to key servers that ended")                                  \
    X(keyless_bad_packets, "connections to key servers ended by a malformed packet")               \
    /* http and proxy */                                                                           \
    X(http_requests, "request heads parsed")                                                       \
    X(http_responses, "responses finished")                                                        \
    X(http_bad_request, "requests refused: malformed")                                             \
    X(http_too_large, "requests refused: head over the limit")                                     \
    X(http_no_site, "requests refused: no site for the host")                                      \
    X(http_status_1xx, "responses sent with status 1xx")                                           \
    X(http_status_2xx, "responses sent with status 2xx")                                           \
    X(http_status_3xx, "responses sent with status 3xx")                                           \
    X(http_status_4xx, "responses sent with status 4xx")                                           \
    X(http_status_5xx, "responses sent with status 5xx")                                           \
    X(http_early_executed, "requests forwarded before the client's Finished")                      \
    X(http_early_waited, "requests in early data that waited for the client's Finished")           \
    X(http_early_425, "requests sent again after Finished: the origin said 425 Too Early")         \
    X(proxy_full, "requests refused: request or connection pool empty")                            \
    X(proxy_client_gone, "requests abandoned: the client left")                                    \
    X(proxy_client_timeout, "client connections closed: too slow or idle")                         \
    X(origin_connects, "origin connections opened")                                                \
    X(origin_reused, "requests sent on a pooled origin connection")                                \
    X(origin_connect_failed, "origin connections refused or timed out")                            \
    X(origin_tls_certificate, "origin connections given up: its certificate does not convince")    \
    X(origin_tls_refused, "origin connections that the origin ended with a TLS alert")             \
    X(origin_tls_failed, "origin connections whose TLS handshake broke off")                       \
    X(origin_timeout, "requests ended: origin too slow")                                           \
    X(origin_bad_response, "requests ended: origin talked nonsense")                               \
    X(origin_aborted, "requests ended: origin left in mid-response")                               \
    X(origin_retries, "requests sent again on a fresh connection")                                 \
    /* waf */                                                                                      \
    X(waf_inspected, "transactions inspected")                                                     \
    X(waf_blocked, "transactions blocked")                                                         \
    X(waf_detected, "transactions with a match that did not block")                                \
    X(waf_audit_lost, "audit lines lost: ring full")

#define TG_COUNTER_ENUM(name, text) TG_C_##name,
enum tg_counter { TG_COUNTERS(TG_COUNTER_ENUM) TG_COUNTER_COUNT };
#undef TG_COUNTER_ENUM

struct stats {
    uint64_t value[TG_COUNTER_COUNT];
} TG_CACHE_ALIGN;

static inline void stats_add(struct stats *s, enum tg_counter c, uint64_t n)
{
    s->value[c] += n;
}

static inline void stats_count(struct stats *s, enum tg_counter c)
{
    s->value[c]++;
}

/* "tcp_accepted"; never NULL. */
static inline const char *stats_name(enum tg_counter c)
{
#define TG_COUNTER_NAME(name, text) #name,
    static const char *const names[] = {TG_COUNTERS(TG_COUNTER_NAME)};
#undef TG_COUNTER_NAME
    return (unsigned)c < TG_COUNTER_COUNT ? names[c] : "unknown";
}

/* One sentence for people; never NULL. */
static inline const char *stats_text(enum tg_counter c)
{
#define TG_COUNTER_TEXT(name, text) text,
    static const char *const texts[] = {TG_COUNTERS(TG_COUNTER_TEXT)};
#undef TG_COUNTER_TEXT
    return (unsigned)c < TG_COUNTER_COUNT ? texts[c] : "unknown";
}

#endif
