/* A machine without a server: made, started, looked at, and removed.
 *
 *     embedded /var/tmp/gpve simulated
 *     started
 *     hello: vm 100 is Running
 *     hello is gone
 *
 * Without "simulated" it is a real one on QEMU; as root, guests run as "nobody", who must be able to reach the directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gpve.h>

static const char MACHINE[] = "{\"metadata\": {\"name\": \"hello\"}, \"spec\": {\"memory\": {\"size\": \"64Mi\"}}}";

/* Ends the program when a call has failed. */
static void check(gpve_status status, gpve_error *error) {
    if (status == GPVE_STATUS_OK) return;
    fprintf(stderr, "%s: %s\n", gpve_status_name((int)status), error ? error->message : "no reason was given");
    gpve_error_free(error);
    exit(1);
}

static void finish(gpve_job *job) {
    gpve_error *error = NULL;
    check(gpve_job_wait(job, 60000, NULL, NULL, NULL, &error), error);
    gpve_job_free(job);
}

static void show(const gpve_machines *machines) {
    gpve_error *error = NULL;
    char *machine = NULL, *phase = NULL;
    uint32_t vmid = 0;
    check(gpve_machines_get(machines, "hello", &machine, &error), error);
    check(gpve_machine_phase(machine, &phase, &error), error);
    check(gpve_machine_vmid(machine, &vmid, &error), error);
    printf("hello: vm %u is %s\n", vmid, phase);
    gpve_string_free(phase);
    gpve_string_free(machine);
}

int main(int argc, char **argv) {
    gpve_error *error = NULL;
    gpve_node *node = NULL;
    gpve_client *client = NULL;
    gpve_machines *machines = NULL;
    gpve_job *job = NULL;
    char options[4096];
    if (argc < 2 || !gpve_abi_check(GPVE_ABI_VERSION)) return 2;
    snprintf(options, sizeof options, "{\"directory\": \"%s\", \"simulated\": %s}", argv[1], argc > 2 && strcmp(argv[2], "simulated") == 0 ? "true" : "false");
    check(gpve_node_open(options, &node, &error), error);
    check(gpve_node_client(node, &client, &error), error);
    check(gpve_client_machines(client, "default", &machines, &error), error);
    check(gpve_machines_create(machines, MACHINE, NULL, &job, &error), error);
    finish(job);
    check(gpve_machines_start(machines, "hello", &job, &error), error);
    finish(job);
    printf("started\n");
    show(machines);
    check(gpve_machines_delete(machines, "hello", true, &job, &error), error);
    finish(job);
    printf("hello is gone\n");
    gpve_machines_free(machines);
    gpve_client_free(client);
    return gpve_node_free(node) != GPVE_STATUS_OK;
}
