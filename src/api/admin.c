/*
 * admin.c - the admin page (docs/admin.md): its files, which need no key because they tell nothing but what is in every binary, and what the page asks about its caller.
 * All else that it shows and does goes through the API's own routes, with the key that its reader types in.
 */
#include "api/admin_assets.h"
#include "api/routes.h"
#include "wire/json.h"

/*
 * Whatever names of channels and users the page shows, it loads and runs nothing but its own files, talks to this server alone, and lies in nobody's frame: without a key its buttons
 * do what they say, so that a page of somebody else must not lay them under the mouse.
 */
static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"; /* It makes no markup of texts, and shall not. */

void hf_api_admin_page(struct hf_api_request *r)
{
    r->content_policy = page_policy;
    hf_api_answer_file(r, "text/html; charset=utf-8", hf_admin_index_html);
}

void hf_api_admin_style(struct hf_api_request *r)
{
    hf_api_answer_file(r, "text/css; charset=utf-8", hf_admin_style_css);
}

void hf_api_admin_script(struct hf_api_request *r)
{
    hf_api_answer_file(r, "text/javascript; charset=utf-8", hf_admin_page_js);
}

void hf_api_admin_icon(struct hf_api_request *r)
{
    hf_api_answer_file(r, "image/svg+xml", hf_admin_icon_svg);
}

/*
 * From / and from /admin. RFC 9110 10.2.2: "If a Location value is a partial URI reference, its final form is computed by comparing it to the target URI", so that it holds behind a proxy
 * that serves us under another path too.
 */
void hf_api_admin_redirect(struct hf_api_request *r)
{
    r->location = "admin/";
    r->content_type = "text/plain; charset=utf-8";
    hf_buf_puts(&r->answer, "The admin page is at admin/\n");
    hf_api_answer(r, MHD_HTTP_FOUND);
}

/* The caller has come so far: he may read. A reload between his head and this may have taken that away. */
void hf_api_access_told(struct hf_api_request *r)
{
    struct hf_api_verdict may = hf_api_request_access(r);

    if (may.code != HF_CODE_NONE) {
        hf_api_answer_error(r, may.code, may.reason);
        return;
    }
    hf_buf_putf(&r->answer, "{\"right\":\"%s\",\"key\":", may.full ? "full" : "read");
    if (may.key == NULL)
        hf_buf_puts(&r->answer, "null");
    else
        hf_json_put_string(&r->answer, hf_str_from(may.key));
    hf_buf_putf(&r->answer, ",\"version\":\"%s\",\"workers\":%u}", HF_VERSION,
                (unsigned)r->api->config->workers);
    hf_api_answer_written(r, 0);
}
