/* Messages of rtnetlink, read from bytes: good ones, cut ones, and ones whose lengths lie. */
#include "client/rtnetlink.h"

#include "base/str.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bytes {
    uint8_t data[512];
    size_t len;
};

static void put(struct bytes *b, const void *data, size_t len)
{
    memcpy(b->data + b->len, data, len);
    b->len += (len + 3) & ~(size_t)3;
}

static void put_attribute(struct bytes *b, uint16_t type, const void *data, size_t len)
{
    struct rtattr head = {.rta_len = (uint16_t)(sizeof(head) + len), .rta_type = type};

    put(b, &head, sizeof(head));
    put(b, data, len);
}

static struct bytes begin(const void *body, size_t len)
{
    struct bytes b = {.len = sizeof(struct nlmsghdr)};

    put(&b, body, len);
    return b;
}

static void end(struct bytes *b, uint16_t type, uint32_t seq)
{
    struct nlmsghdr head = {.nlmsg_len = (uint32_t)b->len, .nlmsg_type = type, .nlmsg_seq = seq};

    memcpy(b->data, &head, sizeof(head));
}

static struct bytes a_link(void)
{
    const struct ifinfomsg body = {
        .ifi_type = 1, .ifi_index = 3, .ifi_flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST};
    struct bytes b = begin(&body, sizeof(body));
    const uint32_t changes = 5;

    put_attribute(&b, IFLA_IFNAME, "eth0", 5);
    put_attribute(&b, IFLA_LINKINFO | NLA_F_NESTED, "whatever", 8);
    put_attribute(&b, IFLA_CARRIER_CHANGES, &changes, sizeof(changes));
    end(&b, RTM_NEWLINK, 7);
    return b;
}

static struct bytes a_route(unsigned char type)
{
    const struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_type = type};
    const uint8_t gateway[4] = {10, 0, 0, 1}, source[4] = {10, 0, 0, 9};
    struct bytes b = begin(&body, sizeof(body));
    const uint32_t out = 3;

    put_attribute(&b, RTA_OIF, &out, sizeof(out));
    put_attribute(&b, RTA_GATEWAY, gateway, sizeof(gateway));
    put_attribute(&b, RTA_PREFSRC, source, sizeof(source));
    end(&b, RTM_NEWROUTE, 8);
    return b;
}

/* RFC 5549: an IPv4 route by an IPv6 gateway. */
static struct bytes a_route_via(void)
{
    const struct rtmsg body = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_type = RTN_UNICAST};
    uint8_t via[18] = {AF_INET6, 0, 0xfe, 0x80, [17] = 1};
    struct bytes b = begin(&body, sizeof(body));

    put_attribute(&b, RTA_VIA, via, sizeof(via));
    end(&b, RTM_NEWROUTE, 9);
    return b;
}

static struct bytes a_neighbour(void)
{
    const struct ndmsg body = {.ndm_family = AF_INET, .ndm_ifindex = 3};
    struct bytes b = begin(&body, sizeof(body));

    put_attribute(&b, NDA_LLADDR, "\2\0\0\0\0\1", 6);
    end(&b, RTM_NEWNEIGH, 10);
    return b;
}

static struct bytes an_error(int32_t error)
{
    struct nlmsgerr body = {.error = error};
    struct bytes b = begin(&body, sizeof(body));

    end(&b, NLMSG_ERROR, 11);
    return b;
}

/* On a copy of exactly that size, for the sanitizers. */
static int next(const uint8_t *data, size_t len, struct hf_rtnl_msg *m)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    int used;

    assert_non_null(copy);
    memcpy(copy, data, len);
    used = hf_rtnl_next(copy, len, m);
    free(copy);
    return used;
}

static struct hf_rtnl_msg whole(const struct bytes *b)
{
    struct hf_rtnl_msg m;

    assert_int_equal(next(b->data, b->len, &m), b->len);
    return m;
}

static bool is_ip(const struct hf_ip *ip, const char *text)
{
    struct hf_ip want;

    return hf_ip_parse(hf_str_from(text), &want) == 0 && memcmp(ip, &want, sizeof(want)) == 0;
}

static void links(void **state)
{
    struct bytes b = a_link();
    struct hf_rtnl_msg m = whole(&b);

    (void)state;
    assert_int_equal(m.type, HF_RTNL_LINK);
    assert_int_equal(m.seq, 7);
    assert_int_equal(m.interface, 3);
    assert_int_equal(m.link_type, 1);
    assert_true(m.running);
    assert_int_equal(m.carrier_changes, 5);
    assert_string_equal(m.name, "eth0");
}

static void a_link_without_a_carrier_does_not_run(void **state)
{
    const struct ifinfomsg up = {.ifi_index = 3, .ifi_flags = IFF_UP};
    struct bytes b = begin(&up, sizeof(up));

    (void)state;
    end(&b, RTM_NEWLINK, 0);
    assert_false(whole(&b).running);
}

static void routes(void **state)
{
    struct bytes b = a_route(RTN_UNICAST);
    struct hf_rtnl_msg m = whole(&b);

    (void)state;
    assert_int_equal(m.type, HF_RTNL_ROUTE);
    assert_true(m.leads && m.gateway && !m.own);
    assert_int_equal(m.interface, 3);
    assert_true(is_ip(&m.gateway_ip, "10.0.0.1") && is_ip(&m.source_ip, "10.0.0.9"));
    b = a_route(RTN_LOCAL);
    m = whole(&b);
    assert_true(m.leads && m.own);
    b = a_route(RTN_BLACKHOLE);
    assert_false(whole(&b).leads);
    b = a_route_via();
    m = whole(&b);
    assert_true(m.gateway && is_ip(&m.gateway_ip, "fe80::1"));
}

static void neighbours(void **state)
{
    struct bytes b = a_neighbour();
    struct hf_rtnl_msg m = whole(&b);

    (void)state;
    assert_int_equal(m.type, HF_RTNL_NEIGHBOUR);
    assert_int_equal(m.hardware_bytes, 6);
    assert_memory_equal(m.hardware, "\2\0\0\0\0\1", 6);
}

static void errors_and_others(void **state)
{
    struct bytes b = an_error(-101);
    struct hf_rtnl_msg m = whole(&b);

    (void)state;
    assert_int_equal(m.type, HF_RTNL_ERROR);
    assert_int_equal(m.error, 101);
    b = an_error(1);
    assert_int_equal(next(b.data, b.len, &m), HF_EBADMSG);
    b = an_error(INT32_MIN);
    assert_int_equal(next(b.data, b.len, &m), HF_EBADMSG);
    end(&b, NLMSG_OVERRUN, 0);
    assert_int_equal(whole(&b).type, HF_RTNL_LOST);
    end(&b, RTM_NEWQDISC, 0);
    assert_int_equal(whole(&b).type, HF_RTNL_OTHER);
}

/* The last may go without its padding; all others take theirs along. */
static void several_in_one(void **state)
{
    struct bytes b = a_link(), second = a_neighbour();
    struct hf_rtnl_msg m;
    size_t first_len = b.len;

    (void)state;
    put(&b, second.data, second.len);
    assert_int_equal(next(b.data, b.len, &m), first_len);
    assert_int_equal(next(b.data + first_len, b.len - first_len, &m), second.len);
    assert_int_equal(m.type, HF_RTNL_NEIGHBOUR);
    assert_int_equal(next(b.data, 0, &m), 0);
    end(&second, RTM_NEWNEIGH, 1);
    ((struct nlmsghdr *)(void *)second.data)->nlmsg_len = (uint32_t)second.len - 2;
    ((struct rtattr *)(void *)(second.data + 28))->rta_len = 8;
    assert_int_equal(next(second.data, second.len - 2, &m), second.len - 2);
    assert_int_equal(m.hardware_bytes, 4);
}

/* Cut anywhere it is malformed: the head's length promises more. */
static void cut(void **state)
{
    struct bytes all[] = {a_link(), a_route(RTN_UNICAST), a_route_via(), a_neighbour(), an_error(-1)};
    struct hf_rtnl_msg m;
    size_t i, len;

    (void)state;
    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (len = 1; len < all[i].len; len++)
            assert_int_equal(next(all[i].data, len, &m), HF_EBADMSG);
}

/* Cut, with a head that tells so: never read beyond, and malformed unless what is missing are whole attributes. */
static void cut_and_told(void **state)
{
    struct bytes all[] = {a_link(), a_route(RTN_UNICAST), a_route_via(), a_neighbour(), an_error(-1)};
    size_t bodies[] = {16, 12, 12, 12, 4};
    size_t i, len;

    (void)state;
    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (len = 16; len < all[i].len; len++) {
            struct nlmsghdr *head = (struct nlmsghdr *)(void *)all[i].data;
            struct hf_rtnl_msg m;
            int used;

            head->nlmsg_len = (uint32_t)len;
            used = next(all[i].data, len, &m);
            assert_true(used == (int)len || used == HF_EBADMSG);
            if (len < 16 + bodies[i])
                assert_int_equal(used, HF_EBADMSG);
        }
}

static int attribute_of_len(uint16_t rta_len, uint16_t type, const void *data, size_t len)
{
    const struct rtmsg body = {.rtm_family = AF_INET, .rtm_type = RTN_UNICAST};
    struct bytes b = begin(&body, sizeof(body));
    struct rtattr head = {.rta_len = rta_len, .rta_type = type};
    struct hf_rtnl_msg m;

    put(&b, &head, sizeof(head));
    put(&b, data, len);
    end(&b, RTM_NEWROUTE, 1);
    return next(b.data, b.len, &m);
}

static void lengths_that_lie(void **state)
{
    struct bytes b = a_link();
    struct hf_rtnl_msg m;
    uint32_t lies[] = {0, 1, 15, (uint32_t)b.len + 1, INT32_MAX, UINT32_MAX, UINT32_MAX - 3};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        ((struct nlmsghdr *)(void *)b.data)->nlmsg_len = lies[i];
        assert_int_equal(next(b.data, b.len, &m), HF_EBADMSG);
    }
    assert_int_equal(attribute_of_len(8, RTA_OIF, "\1\0\0\0", 4), 36);
    assert_int_equal(attribute_of_len(0, RTA_OIF, "\1\0\0\0", 4), HF_EBADMSG); /* would be read for ever */
    assert_int_equal(attribute_of_len(3, RTA_OIF, "\1\0\0\0", 4), HF_EBADMSG);
    assert_int_equal(attribute_of_len(9, RTA_OIF, "\1\0\0\0", 4), HF_EBADMSG);
    assert_int_equal(attribute_of_len(7, RTA_OIF, "\1\0\0\0", 4), HF_EBADMSG); /* 3 bytes of a number */
    assert_int_equal(attribute_of_len(9, RTA_GATEWAY, "\1\2\3\4\5\0\0\0", 8), HF_EBADMSG);
    assert_int_equal(attribute_of_len(5, RTA_VIA, "\2\0\0\0", 4), HF_EBADMSG);
}

static int name_of_len(const char *name, size_t len)
{
    const struct ifinfomsg body = {.ifi_index = 1};
    struct bytes b = begin(&body, sizeof(body));
    struct hf_rtnl_msg m;

    put_attribute(&b, IFLA_IFNAME, name, len);
    end(&b, RTM_NEWLINK, 1);
    return next(b.data, b.len, &m);
}

static void names_and_hardware_addresses_are_bounded(void **state)
{
    const struct ndmsg body = {.ndm_family = AF_INET};
    const uint8_t hardware[HF_RTNL_HARDWARE_BYTES + 1] = {0};
    struct bytes b = begin(&body, sizeof(body));
    struct hf_rtnl_msg m;

    (void)state;
    assert_true(name_of_len("0123456789abcde", 16) > 0);
    assert_true(name_of_len("lo", 2) > 0); /* without its NUL */
    assert_int_equal(name_of_len("0123456789abcdef", 16), HF_EBADMSG);
    assert_int_equal(name_of_len("", 1), HF_EBADMSG);
    put_attribute(&b, NDA_LLADDR, hardware, sizeof(hardware));
    end(&b, RTM_NEWNEIGH, 1);
    assert_int_equal(next(b.data, b.len, &m), HF_EBADMSG);
}

/* A question is a message like others: it can be read, and has the length that it tells. */
static void questions(void **state)
{
    uint8_t q[HF_RTNL_ASK_BYTES];
    struct hf_rtnl_msg m;
    struct hf_ip v4, v6;
    size_t len;

    (void)state;
    assert_int_equal(hf_ip_parse(HF_STR("192.0.2.1"), &v4), 0);
    assert_int_equal(hf_ip_parse(HF_STR("2001:db8::1"), &v6), 0);
    len = hf_rtnl_ask_route(q, &v4, 0, 4);
    assert_int_equal(len, 36);
    assert_int_equal(next(q, len, &m), len);
    assert_int_equal(m.type, HF_RTNL_ROUTE);
    assert_int_equal(m.seq, 4);
    len = hf_rtnl_ask_route(q, &v6, 3, 5);
    assert_int_equal(len, 56);
    assert_int_equal(next(q, len, &m), len);
    assert_int_equal(m.interface, 3);
    len = hf_rtnl_ask_link(q, 3, 6);
    assert_int_equal(next(q, len, &m), len);
    assert_true(m.type == HF_RTNL_LINK && m.interface == 3);
    len = hf_rtnl_ask_neighbour(q, &v6, 3, 7);
    assert_int_equal(next(q, len, &m), len);
    assert_true(m.type == HF_RTNL_NEIGHBOUR && m.interface == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links),
        cmocka_unit_test(a_link_without_a_carrier_does_not_run),
        cmocka_unit_test(routes),
        cmocka_unit_test(neighbours),
        cmocka_unit_test(errors_and_others),
        cmocka_unit_test(several_in_one),
        cmocka_unit_test(cut),
        cmocka_unit_test(cut_and_told),
        cmocka_unit_test(lengths_that_lie),
        cmocka_unit_test(names_and_hardware_addresses_are_bounded),
        cmocka_unit_test(questions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
