#include "server/jwt_alg.h"

/* RFC 7518 section 3.2: "A key of the same size as the hash output … or larger MUST be used with this algorithm." */
static const struct {
    const char *name;
    size_t secret_bytes;
} algs[HF_JWT_ALGS] = {
    [HF_JWT_HS256] = {"HS256", 32}, [HF_JWT_HS384] = {"HS384", 48}, [HF_JWT_HS512] = {"HS512", 64},
    [HF_JWT_RS256] = {"RS256", 0},  [HF_JWT_ES256] = {"ES256", 0},  [HF_JWT_EDDSA] = {"EdDSA", 0},
};

const char *hf_jwt_alg_name(enum hf_jwt_alg alg)
{
    return algs[alg].name;
}

int hf_jwt_alg_find(struct hf_str name, enum hf_jwt_alg *out)
{
    for (int i = 0; i < HF_JWT_ALGS; i++) {
        if (hf_str_eq(name, hf_str_from(algs[i].name))) {
            *out = (enum hf_jwt_alg)i;
            return 0;
        }
    }
    return HF_ENOTFOUND;
}

size_t hf_jwt_alg_secret_bytes(enum hf_jwt_alg alg)
{
    return algs[alg].secret_bytes;
}
