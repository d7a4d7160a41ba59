#include "server/hook_answer.h"

#include "wire/json.h"

#include <stdint.h>
#include <string.h>

enum { STATUS_OK = 200 };

static int invalid(const char **why, const char *text)
{
    *why = text;
    return HF_EBADMSG;
}

/* A raw string, in its own place. */
static int unquote(struct hf_str *s)
{
    char *place = (char *)(uintptr_t)s->data;
    int len = hf_json_unquote(*s, place, s->len);

    if (len < 0)
        return HF_EBADMSG;
    *s = (struct hf_str){place, (size_t)len};
    return 0;
}

/* The members that are known, by name; raw until they are read. */
enum member { ALLOW, CODE, REASON, PAYLOAD, USER, INFO, CLAIMS, CHANNELS, MEMBERS };

static const char *const names[MEMBERS] = {"allow", "code", "reason", "payload",
                                           "user",  "info", "claims", "channels"};

static int collect(struct hf_str object, struct hf_str members[MEMBERS], const char **why)
{
    struct hf_str key, value;

    while (hf_json_next_member(&object, &key, &value)) {
        for (int i = 0; i < MEMBERS; i++) {
            if (!hf_json_name_is(key, hf_str_from(names[i])))
                continue;
            if (members[i].data != NULL)
                return invalid(why, "a member is given twice");
            members[i] = value;
        }
    }
    for (int i = 0; i < MEMBERS; i++) /* An optional member that is null is absent. */
        if (i != PAYLOAD && members[i].data != NULL && hf_json_kind(members[i]) == HF_JSON_NULL)
            members[i] = (struct hf_str){NULL, 0};
    return 0;
}

/* A string of so many bytes at most, if it is there. */
static bool read_text(struct hf_str *s, size_t bytes_max)
{
    if (s->data == NULL)
        return true;
    return hf_json_kind(*s) == HF_JSON_STRING && unquote(s) == 0 && s->len > 0 && s->len <= bytes_max;
}

static bool is_kind(struct hf_str raw, enum hf_json_kind kind)
{
    return raw.data == NULL || hf_json_kind(raw) == kind;
}

/* Why it is refused. */
static int read_refusal(struct hf_hook_answer *out, bool any_code, struct hf_str members[MEMBERS],
                        const char **why)
{
    if (!read_text(&members[CODE], HF_LABEL_BYTES_MAX))
        return invalid(why, "code is no string of 1 to 255 bytes");
    if (!read_text(&members[REASON], HF_LABEL_BYTES_MAX))
        return invalid(why, "reason is no string of 1 to 255 bytes");
    if (!any_code && members[REASON].data != NULL &&
        memchr(members[REASON].data, '\0', members[REASON].len) != NULL)
        return invalid(why, "reason has the character U+0000");
    out->label = members[CODE].data != NULL ? members[CODE] : hf_str_from(hf_code_name(HF_CODE_FORBIDDEN));
    out->code = hf_code_from(out->label);
    if (out->code > HF_CODE_INTERNAL) /* Those behind it are of gaps and of `reconnect`. */
        out->code = HF_CODE_NONE;
    if (out->code == HF_CODE_NONE && !any_code)
        return invalid(why, "code is none that an error can have");
    out->reason = members[REASON].data != NULL ? members[REASON] : HF_STR("refused by the application");
    return 0;
}

static int read_grant(struct hf_hook_answer *out, struct hf_str members[MEMBERS], const char **why)
{
    if (!read_text(&members[USER], HF_LABEL_BYTES_MAX))
        return invalid(why, "user is no string of 1 to 255 bytes");
    if (!is_kind(members[CLAIMS], HF_JSON_OBJECT))
        return invalid(why, "claims is no object");
    if (!is_kind(members[CHANNELS], HF_JSON_ARRAY))
        return invalid(why, "channels is no array");
    out->user = members[USER];
    out->info = members[INFO];
    out->claims = members[CLAIMS];
    out->channels = members[CHANNELS];
    return 0;
}

static int read_verdict(struct hf_hook_answer *out, enum hf_hook hook, struct hf_str members[MEMBERS],
                        const char **why)
{
    if (members[ALLOW].data == NULL || hf_json_kind(members[ALLOW]) != HF_JSON_BOOL)
        return invalid(why, "allow is neither true nor false");
    out->allowed = members[ALLOW].data[0] == 't';
    if (!out->allowed)
        return read_refusal(out, false, members, why);
    return hook == HF_HOOK_CONNECT ? read_grant(out, members, why) : 0;
}

static int read_reply(struct hf_hook_answer *out, struct hf_str members[MEMBERS], const char **why)
{
    out->allowed = members[PAYLOAD].data != NULL;
    if (out->allowed && members[CODE].data != NULL)
        return invalid(why, "it has both payload and code");
    if (!out->allowed && members[CODE].data == NULL)
        return invalid(why, "it has neither payload nor code");
    out->payload = members[PAYLOAD];
    return out->allowed ? 0 : read_refusal(out, true, members, why);
}

int hf_hook_answer_read(struct hf_hook_answer *out, enum hf_hook hook, int status, struct hf_str body,
                        const char **why)
{
    struct hf_str members[MEMBERS] = {{NULL, 0}}, object;
    const char *fault;

    *out = (struct hf_hook_answer){.allowed = false};
    if (status != STATUS_OK)
        return invalid(why, "its HTTP status is not 200");
    if (hf_json_check(body, true, &object, &fault) < 0)
        return invalid(why, "it is not JSON");
    if (hf_json_kind(object) != HF_JSON_OBJECT)
        return invalid(why, "it is no JSON object");
    if (collect(object, members, why) < 0)
        return HF_EBADMSG;
    return hook == HF_HOOK_CALL ? read_reply(out, members, why) : read_verdict(out, hook, members, why);
}

int hf_hook_answer_channel(struct hf_str *rest, struct hf_str *channel)
{
    if (!hf_json_next_element(rest, channel))
        return 0;
    if (hf_json_kind(*channel) != HF_JSON_STRING || unquote(channel) < 0 || !hf_channel_name_valid(*channel))
        return HF_EBADMSG;
    return 1;
}
