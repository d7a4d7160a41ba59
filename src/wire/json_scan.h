/*
 * json_scan.h - steps over JSON text, strictly by the grammar of RFC 8259, without building anything.
 * The base of everything in json.h. Strings are taken as they stand: that they are UTF-8 is the caller's to know, and that a \u escape
 * is a lone surrogate is no matter of the grammar.
 */
#ifndef HF_WIRE_JSON_SCAN_H
#define HF_WIRE_JSON_SCAN_H

#include <stdbool.h>

/*
 * Where a scan stands. Each function below steps over one thing that must begin at `at`, and returns true; or it returns false with
 * `fault` set to static English text, and `at` where the text broke.
 */
struct hf_json_scan {
    const char *at;
    const char *end;
    const char *fault;
};

/* White space, which may be none. */
void hf_json_scan_space(struct hf_json_scan *s);
/* One character, if it is there; no fault where it is not. */
bool hf_json_scan_take(struct hf_json_scan *s, char c);
/* One string, with its quotes. */
bool hf_json_scan_string(struct hf_json_scan *s);
/* A member's name, the colon, and the white space behind each. */
bool hf_json_scan_name(struct hf_json_scan *s);
/* One value, in which arrays and objects nest at most depth_max deep. It calls itself once per level. */
bool hf_json_scan_value(struct hf_json_scan *s, unsigned depth_max);
/* Set the fault. Returns false. */
bool hf_json_scan_break(struct hf_json_scan *s, const char *fault);

/* The first byte of [at, end) that cannot stand in a string as it is ('"', '\\' or a control character), or end. */
const char *hf_json_plain_end(const char *at, const char *end);

#endif
