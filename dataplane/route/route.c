/* SPDX-License-Identifier: BSD-3-Clause
 * Host look-up by binary search over the published sites, which are sorted by their lower-case host
 * bytes. Called by proxy for each request and by the control plane to explain; trusts offsets only
 * after tables_routes_valid has seen them, and checks indices itself. Floor 2: contract, net.
 */
#include "route/route.h"

#define HOST_BYTES_MAX 255 /* RFC 1035 s2.3.4 */

static const struct tables_site *sites_of(const struct tables_routes *routes)
{
    return (const struct tables_site *)(const void *)((const uint8_t *)routes +
                                                      routes->site_offset);
}

static int compare(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static const struct tables_site *site_exact(const struct tables_routes *routes, struct span host)
{
    const struct tables_site *sites = sites_of(routes);
    uint32_t low = 0, high = routes->site_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare(tables_string_span(routes, sites[middle].host), host);
        if (order == 0)
            return &sites[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* "www.example.com" -> "*.example.com": the first label becomes the star. */
static const struct tables_site *site_wildcard(const struct tables_routes *routes, struct span host)
{
    const uint8_t *dot = host.len ? memchr(host.data, '.', host.len) : NULL;
    if (!dot || dot == host.data)
        return NULL;
    uint8_t name[1 + HOST_BYTES_MAX];
    struct span rest = span_slice(host, (size_t)(dot - host.data), host.len);
    name[0] = '*';
    memcpy(name + 1, rest.data, rest.len);
    return site_exact(routes, span_make(name, 1 + rest.len));
}

const struct tables_site *route_site(const struct tables_routes *routes, struct span host)
{
    if (!routes)
        return NULL;
    const struct tables_site *site = NULL;
    if (host.len > 1 && host.data[host.len - 1] == '.')
        host.len--; /* "example.com." is the same name, fully qualified */
    if (host.len > 0 && host.len <= HOST_BYTES_MAX) {
        uint8_t lower[HOST_BYTES_MAX];
        for (size_t i = 0; i < host.len; i++)
            lower[i] = span_lower_byte(host.data[i]);
        struct span name = span_make(lower, host.len);
        site = site_exact(routes, name);
        if (!site)
            site = site_wildcard(routes, name);
    }
    if (!site && routes->default_site < routes->site_count)
        site = &sites_of(routes)[routes->default_site];
    return site;
}

const struct tables_origin *route_origin(const struct tables_routes *routes, uint32_t index)
{
    if (!routes || index >= routes->origin_count)
        return NULL;
    const struct tables_origin *origins =
        (const struct tables_origin *)(const void *)((const uint8_t *)routes +
                                                     routes->origin_offset);
    return &origins[index];
}
