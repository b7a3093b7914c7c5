/* What the test programs share: named tests that print PASS, FAIL or SKIP, and calls that must succeed. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gpve.h>

/* Twenty times what a step takes on an idle machine, also under valgrind. */
#define PATIENCE_MS 300000u

static const char *check_mode;
static const char *check_name;
static int check_failures;
static int check_failed_here;

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) check_fail(__FILE__, __LINE__, #condition);                \
    } while (0)

/* The call succeeds, or the test fails with its error. */
#define OK(call)                                                                     \
    do {                                                                             \
        gpve_error *error = NULL;                                                    \
        gpve_status status_ = (call);                                                \
        check_ok(__FILE__, __LINE__, status_, error);                                \
    } while (0)

/* The call fails as it should, with an error that is whole and names the refused field, if one is expected. */
#define FAILS_WITH(expected, field, call)                                            \
    do {                                                                             \
        gpve_error *error = NULL;                                                    \
        gpve_status status_ = (call);                                                \
        check_fails(__FILE__, __LINE__, expected, status_, error, field);            \
    } while (0)

#define FAILS(expected, call) FAILS_WITH(expected, NULL, call)
#define REFUSES(field, call) FAILS_WITH(GPVE_STATUS_INVALID_INPUT, field, call)

static inline void check_fail(const char *file, int line, const char *why) {
    check_failed_here = 1;
    printf("FAIL %s %s: %s:%d: %s\n", check_mode, check_name, file, line, why);
    fflush(stdout);
}

static inline void check_ok(const char *file, int line, gpve_status status, gpve_error *error) {
    if (status == GPVE_STATUS_OK && error == NULL) return;
    check_fail(file, line, error ? error->message : gpve_status_name((int)status));
    gpve_error_free(error);
}

static inline void check_fails(const char *file, int line, gpve_status expected, gpve_status status, gpve_error *error, const char *field) {
    if (status != expected || error == NULL || error->kind != expected) {
        check_fail(file, line, error ? error->message : gpve_status_name((int)status));
    } else if (*error->message == '\0' || *error->op == '\0' || *error->fields != '[' || *error->causes != '[') {
        check_fail(file, line, "the error is not whole");
    } else if (field && !strstr(error->fields, field)) {
        check_fail(file, line, error->fields);
    }
    gpve_error_free(error);
}

static inline void check_run(const char *name, void (*test)(void)) {
    check_name = name;
    check_failed_here = 0;
    test();
    check_failures += check_failed_here;
    if (!check_failed_here) printf("PASS %s %s\n", check_mode, name);
    fflush(stdout);
}

#define RUN(test) check_run(#test, test)

static inline void check_begin(const char *program) {
    const char *mode = getenv("GPVE_C_MODE");
    check_mode = mode ? mode : program;
}

static inline int check_end(void) { return check_failures != 0; }

/* Opens a node over `directory`; NULL, and a failed test, if that fails. */
static inline gpve_node *open_node(const char *directory, int simulated) {
    char options[4096];
    gpve_node *node = NULL;
    snprintf(options, sizeof options, "{\"directory\": \"%s\", \"simulated\": %s}", directory, simulated ? "true" : "false");
    OK(gpve_node_open(options, &node, &error));
    return node;
}

static inline gpve_client *client_of(const gpve_node *node) {
    gpve_client *client = NULL;
    OK(gpve_node_client(node, &client, &error));
    return client;
}

/* The machines of "default". */
static inline gpve_machines *machines_of(const gpve_node *node) {
    gpve_client *client = client_of(node);
    gpve_machines *machines = NULL;
    OK(gpve_client_machines(client, "default", &machines, &error));
    /* What was made of it keeps what it needs. */
    CHECK(gpve_client_free(client) == GPVE_STATUS_OK);
    return machines;
}

/* Waits for a task, and frees its handle. */
static inline void finish(gpve_job *job) {
    OK(gpve_job_wait(job, PATIENCE_MS, NULL, NULL, NULL, &error));
    CHECK(gpve_job_free(job) == GPVE_STATUS_OK);
}

/* Does `call`, which makes `job`, and waits for its task. */
#define DONE(call)                                                                   \
    do {                                                                             \
        gpve_job *job = NULL;                                                        \
        OK(call);                                                                    \
        finish(job);                                                                 \
    } while (0)

/* What the pointer names in the document is this text. */
#define EXPECT(document, pointer, expected)                                          \
    do {                                                                             \
        char *part_ = NULL;                                                          \
        OK(gpve_document_get(document, pointer, &part_, &error));                    \
        if (!part_ || strcmp(part_, expected) != 0) check_fail(__FILE__, __LINE__, part_ ? part_ : "nothing"); \
        gpve_string_free(part_);                                                     \
    } while (0)

static inline void expect_phase(const gpve_machines *machines, const char *name, const char *phase) {
    char *machine = NULL, *now = NULL;
    OK(gpve_machines_get(machines, name, &machine, &error));
    OK(gpve_machine_phase(machine, &now, &error));
    if (!now || strcmp(now, phase) != 0) check_fail(__FILE__, __LINE__, now ? now : "no phase");
    gpve_string_free(now);
    gpve_string_free(machine);
}

#endif
