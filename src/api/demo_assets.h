/*
 * demo_assets.h - the files of src/demo/ that the demo serves, as tools/embed-files.py puts them into the binary.
 */
#ifndef HF_API_DEMO_ASSETS_H
#define HF_API_DEMO_ASSETS_H

#include "base/str.h"

extern const struct hf_str hf_demo_index_html, hf_demo_style_css, hf_demo_page_js, hf_demo_icon_svg;

#endif
