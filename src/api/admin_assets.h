/*
 * admin_assets.h - the files of src/admin/ that make the admin page, as tools/embed-files.py puts them into the binary.
 */
#ifndef HF_API_ADMIN_ASSETS_H
#define HF_API_ADMIN_ASSETS_H

#include "base/str.h"

extern const struct hf_str hf_admin_index_html, hf_admin_style_css, hf_admin_page_js, hf_admin_icon_svg;

#endif
