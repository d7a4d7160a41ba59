#include "client/options.h"

#include <stdlib.h>

static void free_string(const char *string)
{
    free((char *)(uintptr_t)string);
}

/* NULL is copied as NULL; what there is no memory for as well, and noted. */
static const char *copy_string(const char *from, bool *failed)
{
    size_t len = from == NULL ? 0 : strlen(from) + 1;
    char *copy = from == NULL ? NULL : malloc(len);

    if (copy != NULL)
        memcpy(copy, from, len);
    *failed = *failed || (from != NULL && copy == NULL);
    return copy;
}

static const char *const *copy_list(const char *const *from, size_t count, bool *failed)
{
    const char **copy;
    size_t i;

    if (count == 0)
        return NULL;
    copy = calloc(count, sizeof(*copy));
    *failed = *failed || copy == NULL;
    for (i = 0; copy != NULL && i < count; i++)
        copy[i] = copy_string(from[i], failed);
    return copy;
}

int hf_client_options_copy(struct hf_client_options *to, const struct hf_client_options *from)
{
    bool failed = false;

    if (from->urls == NULL && from->urls_count > 0) {
        *to = (struct hf_client_options){.url = NULL};
        return HF_EINVAL;
    }
    *to = *from;
    to->urls = copy_list(from->urls, from->urls_count, &failed);
#define X(name) to->name = copy_string(from->name, &failed);
    HF_CLIENT_OPTION_STRINGS(X)
#undef X
    if (!failed)
        return 0;
    hf_client_options_release(to);
    return HF_ENOMEM;
}

void hf_client_options_release(struct hf_client_options *options)
{
    unsigned i;

    for (i = 0; options->urls != NULL && i < options->urls_count; i++)
        free_string(options->urls[i]);
    free((void *)(uintptr_t)options->urls);
    options->urls = NULL;
    options->urls_count = 0;
#define X(name)                                                                                              \
    free_string(options->name);                                                                              \
    options->name = NULL;
    HF_CLIENT_OPTION_STRINGS(X)
#undef X
}
