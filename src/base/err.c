#include "base/err.h"

const char *hf_strerror(int err)
{
    switch (err) {
    case HF_OK:
        return "success";
#define HF_ERR_TEXT(name, value, text)                                                                       \
    case name:                                                                                               \
        return text;
        HF_ERR_LIST(HF_ERR_TEXT)
#undef HF_ERR_TEXT
    default:
        return "unknown error";
    }
}
