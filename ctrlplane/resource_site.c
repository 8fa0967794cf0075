/* SPDX-License-Identifier: BSD-3-Clause
 * Sites, and the names that they share with certificates. Called by api_sites and model.
 */
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <string.h>

bool resource_name_valid(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    return len >= 1 && len <= RESOURCE_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

/* Labels of letters, digits, '-' and '_' (which real hosts use), each 1 to 63 bytes (RFC 1035
 * s2.3.4). */
static bool labels_valid(const char *text)
{
    size_t label = 0;
    for (; *text; text++) {
        bool word = (*text >= 'a' && *text <= 'z') || (*text >= '0' && *text <= '9') ||
                    *text == '-' || *text == '_';
        if (*text == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!word || ++label > 63) {
            return false;
        }
    }
    return label > 0;
}

bool host_canonical(const char *text, char out[256])
{
    size_t len = strlen(text);
    if (len == 0 || len > 253)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = (char)span_lower_byte((uint8_t)text[i]);
    if (out[0] == '[' && out[len - 1] == ']') {
        char inner[256];
        uint8_t address[16];
        snprintf(inner, sizeof inner, "%.*s", (int)(len - 2), out + 1);
        return address_parse(inner, address) && !address_is4(address);
    }
    return labels_valid(strncmp(out, "*.", 2) == 0 ? out + 2 : out);
}

json_t *hosts_read(const struct fields *f, const char *name, bool required)
{
    const json_t *in = fields_array(f, name, required, RESOURCE_HOSTS_MAX);
    if (!fields_ok(f))
        return NULL;
    json_t *out = json_array(), *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)in, i, item)
    {
        char host[256];
        const char *text = json_string_value(item);
        if (!text || !host_canonical(text, host))
            fields_fault_at(
                f, name, i,
                "is not a host name: letters, digits, '-', '_' and dots, no port; \"*.\" "
                "in front stands for one label");
        else if (json_array_holds(out, host))
            fields_fault_at(f, name, i, "%s is listed twice", host);
        else
            json_array_append_new(out, json_string(host));
    }
    if (fields_ok(f))
        return out;
    json_decref(out);
    return NULL;
}

/* "host": one name, as a short form of "hosts". */
static json_t *site_hosts_read(const struct fields *f)
{
    if (!fields_has(f, "host"))
        return hosts_read(f, "hosts", false);
    if (fields_has(f, "hosts")) {
        fields_fault(f, "host", "give either host or hosts");
        return NULL;
    }
    char host[256];
    const char *text = fields_string(f, "host", true, 1, 253);
    if (text && !host_canonical(text, host))
        fields_fault(f, "host", "is not a host name");
    return fields_ok(f) ? json_pack("[s]", host) : NULL;
}

json_t *site_read(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const known[] = {"name", "host", "hosts", "origin", "waf", "default", NULL};
    struct fields f = fields_begin(in, pointer, known, problem);
    const char *origin = fields_string(&f, "origin", true, 1, RESOURCE_NAME_MAX);
    bool waf = fields_bool(&f, "waf", false);
    bool is_default = fields_bool(&f, "default", false);
    if (!fields_ok(&f))
        return NULL;
    json_t *hosts = site_hosts_read(&f);
    if (!hosts)
        return NULL;
    if (json_array_size(hosts) == 0 && !is_default) {
        fields_fault(&f, "hosts", "a site without hosts must be the default site");
        json_decref(hosts);
        return NULL;
    }
    return json_pack("{s:o, s:s, s:b, s:b}", "hosts", hosts, "origin", origin, "waf", waf,
                     "default", is_default);
}
