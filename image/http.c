/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libcurl, told to use no signals, to follow redirects only where encryption is not
 * lost, to give credentials to nobody but the host they are for, and to give up on
 * servers that say nothing for a minute.
 */
#include "http.h"

#include "util/bytes.h"
#include "util/str.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_S = 30, SILENT_S = 60, REDIRECTS_MAX = 10 };

struct mv_http {
    CURL *curl;
};

struct http_run {
    const struct mv_http_get *get;
    struct mv_http_answer *answer;
    CURL *curl;
    bool begun;
    uint64_t taken;
    microvm_error inner;
};

int mv_http_new(struct mv_http **out, microvm_error *err)
{
    struct mv_http *http = calloc(1, sizeof *http);
    if (http)
        http->curl = curl_easy_init();
    if (!http || !http->curl) {
        free(http);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "libcurl cannot be set up");
    }
    *out = http;
    return 0;
}

void mv_http_free(struct mv_http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->curl);
    free(http);
}

const char *mv_http_scheme(const char *host)
{
    static const char *const local[] = {"localhost", "127.0.0.1", "[::1]"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(local); i++) {
        size_t length = strlen(local[i]);
        if (!strncmp(host, local[i], length) &&
            (host[length] == '\0' || host[length] == ':'))
            return "http";
    }
    return "https";
}

/* ---- what libcurl calls ---------------------------------------------------------- */

static size_t http_body(char *data, size_t size, size_t count, void *opaque)
{
    struct http_run *run = opaque;
    size_t length = size * count;
    long status = 0;
    (void)curl_easy_getinfo(run->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206)
        return length; /* an error's page is nothing for the caller */
    int rc = 0;
    if (!run->begun && run->get->begin)
        rc = run->get->begin(run->get->opaque, status == 206, &run->inner);
    run->begun = true;
    run->taken += length;
    if (!rc && run->taken > run->get->bytes_max)
        rc = mv_fail(&run->inner, MICROVM_E_INVALID,
                     "%s: the registry sends more than the %llu bytes there should be",
                     run->get->what, (unsigned long long)run->get->bytes_max);
    if (!rc)
        rc = run->get->take(run->get->opaque, data, length, &run->inner);
    return rc ? 0 : length;
}

/* Headers of each answer, those of redirects too: the last one counts. */
static size_t http_header(char *data, size_t size, size_t count, void *opaque)
{
    static const char name[] = "www-authenticate:";
    struct http_run *run = opaque;
    size_t length = size * count, at = sizeof name - 1;
    if (length > 5 && !memcmp(data, "HTTP/", 5))
        run->answer->challenge[0] = '\0';
    if (length <= at)
        return length;
    for (size_t i = 0; i < at; i++) {
        char c = data[i] >= 'A' && data[i] <= 'Z' ? (char)(data[i] + 32) : data[i];
        if (c != name[i])
            return length;
    }
    while (at < length && data[at] == ' ')
        at++;
    size_t end = length;
    while (end > at && (data[end - 1] == '\r' || data[end - 1] == '\n'))
        end--;
    if (end - at < sizeof run->answer->challenge) {
        memcpy(run->answer->challenge, data + at, end - at);
        run->answer->challenge[end - at] = '\0';
    }
    return length;
}

static int http_progress(void *opaque, curl_off_t total, curl_off_t done,
                         curl_off_t upload_total, curl_off_t uploaded)
{
    struct http_run *run = opaque;
    (void)total;
    (void)upload_total;
    (void)uploaded;
    return mv_progress(run->get->progress, run->get->what,
                       run->get->from + (uint64_t)done, run->get->total, &run->inner);
}

/* ---- a request ------------------------------------------------------------------- */

static void http_options(struct http_run *run, struct curl_slist *headers, char *why)
{
    const struct mv_http_get *get = run->get;
    bool plain = !strncmp(get->url, "http:", 5);
    CURL *c = run->curl;
    char range[32]; /* curl copies texts */
    curl_easy_reset(c);
    (void)curl_easy_setopt(c, CURLOPT_URL, get->url);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "microvm-build");
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, plain ? "http,https" : "https");
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
                           plain ? "http,https" : "https");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENT_S);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, http_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, run);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, http_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, run);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, http_progress);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, run);
    if (get->from) { /* not RESUME_FROM, to which an answer from the start is an error
                      */
        (void)snprintf(range, sizeof range, "%llu-", (unsigned long long)get->from);
        (void)curl_easy_setopt(c, CURLOPT_RANGE, range);
    }
    if (get->bearer) {
        (void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        (void)curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, get->bearer);
    } else if (get->user) {
        (void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        (void)curl_easy_setopt(c, CURLOPT_USERPWD, get->user);
    }
}

static int http_failed(const struct http_run *run, CURLcode code, const char *why,
                       microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    if (run->inner.code)
        return mv_fail_again(err, &run->inner);
    return mv_fail(err, MICROVM_E_IO, "%s: %s", run->get->what,
                   mv_str_show(shown, *why ? why : curl_easy_strerror(code)));
}

int mv_http_run(struct mv_http *http, const struct mv_http_get *get,
                struct mv_http_answer *answer, microvm_error *err)
{
    struct mv_http_answer made = {.status = 0};
    struct http_run run = {.get = get, .answer = &made, .curl = http->curl};
    char why[CURL_ERROR_SIZE] = "", accept[512];
    struct curl_slist *headers = NULL;
    if (get->accept) {
        (void)snprintf(accept, sizeof accept, "Accept: %s", get->accept);
        headers = curl_slist_append(NULL, accept);
        if (!headers)
            return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    }
    http_options(&run, headers, why);
    CURLcode code = curl_easy_perform(http->curl);
    (void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &made.status);
    curl_slist_free_all(headers);
    made.broken = code != CURLE_OK && run.inner.code == 0;
    *answer = made;
    return code == CURLE_OK ? 0 : http_failed(&run, code, why, err);
}
