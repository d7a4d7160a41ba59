#include "cli/members.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct hf_member *)a)->session, ((const struct hf_member *)b)->session);
}

static void free_member(void *member)
{
    struct hf_member *m = member;

    if (m == NULL)
        return;
    free(m->session);
    free(m->user);
    free(m->info);
    free(m);
}

void hf_members_init(struct hf_members *m,
                     void (*tell)(void *ctx, enum hf_members_change change, const struct hf_member *member),
                     void *ctx)
{
    *m = (struct hf_members){.tell = tell, .ctx = ctx};
}

void hf_members_release(struct hf_members *m)
{
    tdestroy(m->tree, free_member);
    m->tree = NULL;
}

void hf_members_begin(struct hf_members *m)
{
    m->turn++;
}

static char *copy(struct hf_client_text text)
{
    return strndup(text.len > 0 ? text.data : "", text.len);
}

static struct hf_member *member_new(const struct hf_client_member *from)
{
    struct hf_member *m = calloc(1, sizeof(*m));

    if (m == NULL)
        return NULL;
    m->session = copy(from->session);
    m->user = copy(from->user);
    m->info = copy(from->info);
    if (m->session != NULL && m->user != NULL && m->info != NULL)
        return m;
    free_member(m);
    return NULL;
}

int hf_members_put(struct hf_members *m, const struct hf_client_member *member)
{
    struct hf_member *mine = member_new(member), **found;

    if (mine == NULL)
        return HF_ENOMEM;
    found = tsearch(mine, &m->tree, compare);
    if (found == NULL) {
        free_member(mine);
        return HF_ENOMEM;
    }
    (*found)->turn = m->turn;
    if (*found == mine)
        m->tell(m->ctx, HF_MEMBERS_CAME, mine);
    else
        free_member(mine);
    return 0;
}

static void leave(struct hf_members *m, struct hf_member *member)
{
    (void)tdelete(member, &m->tree, compare);
    m->tell(m->ctx, HF_MEMBERS_LEFT, member);
    free_member(member);
}

void hf_members_remove(struct hf_members *m, const struct hf_client_member *member)
{
    struct hf_member *key = member_new(member), **found;

    if (key == NULL)
        return; /* The next list will tell. */
    found = tfind(key, &m->tree, compare);
    free_member(key);
    if (found != NULL)
        leave(m, *found);
}

/* Those that the last list had not; the tree may not change while it is walked. */
struct search {
    uint32_t turn;
    struct hf_member *stale; /* by their `next` */
};

static void look(const void *node, VISIT visit, void *closure)
{
    struct hf_member *member = *(struct hf_member *const *)node;
    struct search *search = closure;

    if ((visit != postorder && visit != leaf) || member->turn == search->turn)
        return;
    member->next = search->stale;
    search->stale = member;
}

void hf_members_end(struct hf_members *m)
{
    struct search search = {.turn = m->turn};
    struct hf_member *member;

    twalk_r(m->tree, look, &search);
    while ((member = search.stale) != NULL) {
        search.stale = member->next;
        leave(m, member);
    }
}
