/* What a call costs that does nothing: JSON lines with nanoseconds per call. Takes an empty directory. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <time.h>

#include <gpve.h>

#define CALLS 1000000
#define WAITS 20000

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void tell(const char *what, double began, int calls) {
    printf("{\"bench\": \"noop\", \"who\": \"c\", \"call\": \"%s\", \"ns\": %.0f}\n", what, (now_ns() - began) / calls);
}

int main(int argc, char **argv) {
    static const char DOCUMENT[] = "{\"apiVersion\": \"gpve.io/v1\", \"kind\": \"VirtualMachine\", \"metadata\": {}, \"spec\": {\"memory\": {\"size\": \"64Mi\"}}}";
    gpve_node *node = NULL;
    gpve_client *client = NULL;
    gpve_machines *machines = NULL;
    gpve_job *job = NULL;
    char options[4096];
    if (argc != 2) return 2;
    snprintf(options, sizeof options, "{\"directory\": \"%s\", \"simulated\": true}", argv[1]);
    gpve_status status = gpve_node_open(options, &node, NULL);
    if (status == GPVE_STATUS_OK) status = gpve_node_client(node, &client, NULL);
    if (status == GPVE_STATUS_OK) status = gpve_client_machines(client, "default", &machines, NULL);
    /* The second time nothing is to do: a job without a task. */
    for (int i = 0; i < 2 && status == GPVE_STATUS_OK; i++) {
        gpve_job_free(job);
        status = gpve_machines_apply(machines, "web", DOCUMENT, "bench", false, NULL, &job, NULL);
        if (status == GPVE_STATUS_OK) status = gpve_job_wait(job, 0, NULL, NULL, NULL, NULL);
    }
    if (status != GPVE_STATUS_OK) return 1;
    volatile uint32_t version = 0;
    double began = now_ns();
    for (int i = 0; i < CALLS; i++) version += gpve_abi_version();
    tell("gpve_abi_version", began, CALLS);
    volatile const char *id = NULL;
    began = now_ns();
    for (int i = 0; i < CALLS; i++) id = gpve_job_id(job);
    tell("gpve_job_id", began, CALLS);
    began = now_ns();
    for (int i = 0; i < WAITS; i++) status |= gpve_job_wait(job, 0, NULL, NULL, NULL, NULL);
    tell("gpve_job_wait, nothing to do", began, WAITS);
    gpve_job_free(job);
    gpve_machines_free(machines);
    gpve_client_free(client);
    gpve_node_free(node);
    return status != GPVE_STATUS_OK || id != NULL || version == 0;
}
