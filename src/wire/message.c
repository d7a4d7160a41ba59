#include "wire/message.h"

#include "ws/utf8.h"

static const struct hf_str type_names[HF_MSG_TYPES] = {[HF_MSG_NONE] = {"", 0},
#define TYPE_NAME(name, text) [HF_MSG_##name] = {text, sizeof(text) - 1},
                                                       HF_MSG_LIST(TYPE_NAME)
#undef TYPE_NAME
};

static const struct hf_str code_names[HF_CODES] = {[HF_CODE_NONE] = {"", 0},
#define CODE_NAME(name, text) [HF_CODE_##name] = {text, sizeof(text) - 1},
                                                   HF_CODE_LIST(CODE_NAME)
#undef CODE_NAME
};

/* The place of a name in a list whose first entry stands for "none". */
static unsigned find_name(const struct hf_str *names, unsigned count, struct hf_str name)
{
    for (unsigned i = 1; i < count; i++)
        if (hf_str_eq(names[i], name))
            return i;
    return 0;
}

const char *hf_msg_name(enum hf_msg_type type)
{
    return type < HF_MSG_TYPES ? type_names[type].data : "";
}

enum hf_msg_type hf_msg_type(struct hf_str name)
{
    return (enum hf_msg_type)find_name(type_names, HF_MSG_TYPES, name);
}

const char *hf_code_name(enum hf_code code)
{
    return code < HF_CODES ? code_names[code].data : "";
}

enum hf_code hf_code_from(struct hf_str name)
{
    return (enum hf_code)find_name(code_names, HF_CODES, name);
}

/* U+0080 to U+009F, the control characters beyond ASCII, are C2 80 to C2 9F in UTF-8. */
static bool is_c1_control(const unsigned char *at, const unsigned char *end)
{
    return at[0] == 0xc2 && at + 1 < end && at[1] <= 0x9f;
}

bool hf_channel_name_valid(struct hf_str name)
{
    const unsigned char *at = (const unsigned char *)name.data;
    const unsigned char *end = at + name.len;
    bool ascii = true;

    if (name.len == 0 || name.len > HF_CHANNEL_BYTES_MAX)
        return false;
    for (; at < end; at++) {
        if (*at < 0x20 || *at == 0x7f || is_c1_control(at, end))
            return false;
        ascii = ascii && *at < 0x80;
    }
    return ascii || hf_utf8_valid((const uint8_t *)name.data, name.len);
}
