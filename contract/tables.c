/* SPDX-License-Identifier: BSD-3-Clause
 * Bounds checks of the tables in the shared region. Called by region (before publishing and before
 * every use) and by tests; a worker relies on them when it indexes a table without further checks.
 * Must not know what the tables mean beyond their shape.
 */
#include "contract/tables.h"

/* True when `count` elements of `size` bytes at `offset` lie within `len`; 4-byte aligned, as every
 * element's fields are. */
static bool array_fits(size_t len, uint32_t offset, uint32_t count, size_t size)
{
    return offset % 4 == 0 && offset <= len && count <= (len - offset) / size;
}

static bool string_fits(size_t len, struct tables_string s)
{
    return s.offset <= len && s.len <= len - s.offset;
}

/* The header, and that the fixed part of the kind's struct is there. */
static bool header_fits(const struct tables_header *h, enum tables_kind kind, size_t len,
                        size_t fixed_bytes)
{
    return len >= fixed_bytes && h->kind == (uint32_t)kind && h->bytes == len;
}

bool tables_rules_valid(const struct tables_rules *t, size_t len)
{
    if (!header_fits(&t->header, TABLES_RULES, len, sizeof *t))
        return false;
    if (t->count > TABLES_RULES_MAX ||
        !array_fits(len, sizeof *t, t->count, sizeof(struct tables_rule)))
        return false;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct tables_rule *r = &t->rules[i];
        if (r->slot >= TABLES_RULES_MAX || r->source_bits > 128 || r->destination_bits > 128)
            return false;
        if (r->source_port_low > r->source_port_high ||
            r->destination_port_low > r->destination_port_high)
            return false;
    }
    return true;
}

static int string_compare(const void *block, struct tables_string a, struct tables_string b)
{
    uint32_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp((const uint8_t *)block + a.offset,
                                 (const uint8_t *)block + b.offset, shorter)
                        : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool sites_valid(const struct tables_routes *t, size_t len)
{
    const struct tables_site *sites =
        (const struct tables_site *)(const void *)((const uint8_t *)t + t->site_offset);
    for (uint32_t i = 0; i < t->site_count; i++) {
        if (!string_fits(len, sites[i].host) || sites[i].origin >= t->origin_count)
            return false;
        if (i > 0 && string_compare(t, sites[i - 1].host, sites[i].host) > 0)
            return false; /* a binary search would miss hosts */
    }
    return true;
}

static bool origins_valid(const struct tables_routes *t, size_t len)
{
    const struct tables_origin *origins =
        (const struct tables_origin *)(const void *)((const uint8_t *)t + t->origin_offset);
    for (uint32_t i = 0; i < t->origin_count; i++)
        if (!string_fits(len, origins[i].name) || !string_fits(len, origins[i].server_name) ||
            !string_fits(len, origins[i].ca_pem) || !string_fits(len, origins[i].chain_pem) ||
            !string_fits(len, origins[i].key_pem))
            return false;
    return true;
}

bool tables_routes_valid(const struct tables_routes *t, size_t len)
{
    if (!header_fits(&t->header, TABLES_ROUTES, len, sizeof *t))
        return false;
    if (t->site_count > TABLES_SITES_MAX || t->origin_count > TABLES_ORIGINS_MAX)
        return false;
    if (!array_fits(len, t->site_offset, t->site_count, sizeof(struct tables_site)) ||
        !array_fits(len, t->origin_offset, t->origin_count, sizeof(struct tables_origin)))
        return false;
    if (t->default_site != UINT32_MAX && t->default_site >= t->site_count)
        return false;
    return sites_valid(t, len) && origins_valid(t, len);
}

static bool keyservers_valid(const struct tables_certificates *t, size_t len)
{
    for (uint32_t i = 0; i < t->keyserver_count; i++) {
        const struct tables_keyserver *k = &tables_keyservers(t)[i];
        if (!string_fits(len, k->server_name) || !string_fits(len, k->ca_pem) ||
            !string_fits(len, k->chain_pem) || !string_fits(len, k->key_pem))
            return false;
        if (k->address_count == 0 || k->address_count > TABLES_KEYSERVER_ADDRESSES)
            return false;
    }
    return true;
}

bool tables_certificates_valid(const struct tables_certificates *t, size_t len)
{
    if (!header_fits(&t->header, TABLES_CERTIFICATES, len, sizeof *t))
        return false;
    if (t->count > TABLES_CERTIFICATES_MAX ||
        !array_fits(len, sizeof *t, t->count, sizeof(struct tables_certificate)))
        return false;
    if (t->keyserver_count > TABLES_KEYSERVERS_MAX ||
        !array_fits(len, t->keyserver_offset, t->keyserver_count, sizeof(struct tables_keyserver)))
        return false;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct tables_certificate *c = &t->certificates[i];
        if (!string_fits(len, c->names) || !string_fits(len, c->chain_pem) ||
            !string_fits(len, c->key_pem))
            return false;
        /* The names are walked from NUL to NUL. */
        if (c->names.len && ((const char *)t)[c->names.offset + c->names.len - 1] != '\0')
            return false;
        if (c->key_pem.len == 0 && c->keyserver != UINT32_MAX && c->keyserver >= t->keyserver_count)
            return false;
    }
    return keyservers_valid(t, len);
}

bool tables_waf_valid(const struct tables_waf *t, size_t len)
{
    return header_fits(&t->header, TABLES_WAF, len, sizeof *t) &&
           t->program_offset % TG_CACHE_LINE == 0 && t->program_offset >= sizeof *t &&
           array_fits(len, t->program_offset, t->program_len, 1);
}

static bool is_zero(const uint8_t address[16])
{
    static const uint8_t zero[16];
    return memcmp(address, zero, sizeof zero) == 0;
}

static bool is_mapped4(const uint8_t address[16])
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address, prefix, sizeof prefix) == 0;
}

/* Each slot once, a way to reach it, every address in its own family's field. */
static bool nodes_valid(const struct tables_node nodes[], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct tables_node *n = &nodes[i];
        if (n->slot >= TABLES_NODE_SLOTS || (i > 0 && n->slot <= nodes[i - 1].slot))
            return false;
        bool has4 = !is_zero(n->address4), has6 = !is_zero(n->address6);
        if ((!has4 && !has6) || (has4 && !is_mapped4(n->address4)) || is_mapped4(n->address6))
            return false;
    }
    return true;
}

static bool keys_valid(const struct tables_key keys[], uint32_t count, bool fleet)
{
    unsigned of_use[TABLES_KEY_USES] = {0};
    for (uint32_t i = 0; i < count; i++)
        if (keys[i].use >= TABLES_KEY_USES || ++of_use[keys[i].use] > TABLES_KEYS_OF_A_USE)
            return false;
    return !fleet || (of_use[TABLES_KEY_OWNER] > 0 && of_use[TABLES_KEY_TUNNEL] > 0);
}

bool tables_owners_valid(const struct tables_owners *t, size_t len)
{
    if (!header_fits(&t->header, TABLES_OWNERS, len, sizeof *t))
        return false;
    uint32_t n = t->bucket_count;
    if (n == 0 || (n & (n - 1)) != 0 || n > TABLES_OWNER_BUCKETS ||
        !array_fits(len, sizeof *t, n, sizeof t->owners[0]))
        return false;
    if (t->node_count > TABLES_NODES_MAX ||
        !array_fits(len, t->node_offset, t->node_count, sizeof(struct tables_node)) ||
        !array_fits(len, t->key_offset, t->key_count, sizeof(struct tables_key)))
        return false;
    return nodes_valid(tables_nodes(t), t->node_count) &&
           keys_valid(tables_keys(t), t->key_count, t->node_count > 0);
}

bool tables_valid(enum tables_kind kind, const void *block, size_t len)
{
    if (!block || len < sizeof(struct tables_header) || len > UINT32_MAX)
        return false;
    switch (kind) {
    case TABLES_RULES:
        return tables_rules_valid(block, len);
    case TABLES_ROUTES:
        return tables_routes_valid(block, len);
    case TABLES_CERTIFICATES:
        return tables_certificates_valid(block, len);
    case TABLES_WAF:
        return tables_waf_valid(block, len);
    case TABLES_OWNERS:
        return tables_owners_valid(block, len);
    case TABLES_KINDS:
        break;
    }
    return false;
}

const char *tables_kind_name(enum tables_kind kind)
{
    static const char *const names[] = {"rules", "routes", "certificates", "waf", "owners"};
    static_assert(TG_ARRAY_LEN(names) == TABLES_KINDS, "one name a kind");
    return (unsigned)kind < TABLES_KINDS ? names[kind] : "unknown";
}
