#include "server/claims.h"

#include <jansson.h>

/* json_object_getn() came with jansson 2.14. */
static const json_t *member(const json_t *object, struct hf_str name)
{
    char key[HF_RULE_TEXT_MAX + 1];

    if (name.len > HF_RULE_TEXT_MAX)
        return NULL;
    memcpy(key, name.data, name.len);
    key[name.len] = '\0';
    return json_object_get(object, key);
}

static bool pattern_grants(const json_t *value, struct hf_str channel)
{
    return json_is_string(value) &&
           hf_grant_matches((struct hf_str){json_string_value(value), json_string_length(value)}, channel);
}

static bool grants(const json_t *value, struct hf_str channel)
{
    if (json_is_true(value))
        return true;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (pattern_grants(json_array_get(value, i), channel))
            return true;
    return pattern_grants(value, channel);
}

bool hf_claim_allows(const void *claims, struct hf_str name, enum hf_right right, struct hf_str channel)
{
    const json_t *value = member(claims, name);

    if (json_is_object(value))
        value = json_object_get(value, hf_right_name(right));
    return grants(value, channel);
}
