/*
 * err.h - the one list of errors of Holdfast's own functions.
 * A function that can fail returns a negative enum hf_err; 0 or a count is success.
 */
#ifndef HF_BASE_ERR_H
#define HF_BASE_ERR_H

/* name, value, text. Values are part of no wire format; they may be renumbered. */
#define HF_ERR_LIST(X)                                                                                       \
    X(HF_ENOMEM, -1, "out of memory")                                                                        \
    X(HF_ELIMIT, -2, "a configured limit is reached")                                                        \
    X(HF_EAGAIN, -3, "not now: try again when the other side has made room")                                 \
    X(HF_EBADMSG, -4, "malformed message")                                                                   \
    X(HF_EINVAL, -5, "invalid argument")                                                                     \
    X(HF_ENOTFOUND, -6, "not found")                                                                         \
    X(HF_EGAP, -7, "the log no longer holds that offset")                                                    \
    X(HF_EEXIST, -8, "exists already")                                                                       \
    X(HF_ESTATE, -9, "not possible in this state")                                                           \
    X(HF_ETOOLARGE, -10, "too large")                                                                        \
    X(HF_EPROTO, -11, "the peer broke the protocol")                                                         \
    X(HF_EIO, -12, "input/output error")                                                                     \
    X(HF_ETIMEOUT, -13, "timed out")                                                                         \
    X(HF_ECLOSED, -14, "closed")                                                                             \
    X(HF_ECONFLICT, -15, "conflicts with an earlier request")                                                \
    X(HF_EUNSUPPORTED, -16, "not supported here")                                                            \
    X(HF_ECERT, -17, "no certificate can be read from the CA file")                                          \
    X(HF_ENOSPACE, -18, "no space is left where the outbox file lies: free some, nothing in it is lost")     \
    X(HF_EBUSY, -19, "the outbox file is in use by another client: one file serves one client at a time")    \
    X(HF_ECORRUPT, -20, "the outbox file is damaged, or is none: it is left as it is; name another")         \
    X(HF_ECALLBACK, -21, "the outbox is full, and waiting for room is not possible in a callback")

enum hf_err {
    HF_OK = 0,
#define HF_ERR_ENUM(name, value, text) name = value,
    HF_ERR_LIST(HF_ERR_ENUM)
#undef HF_ERR_ENUM
};

/* The English text of an error; never NULL, static storage. */
const char *hf_strerror(int err);

#define HF_MUST_CHECK __attribute__((warn_unused_result))
#define HF_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

#endif
