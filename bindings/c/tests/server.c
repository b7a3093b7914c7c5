/* The same life on a server: GPVE_URL, GPVE_TOKEN, GPVE_CA (a file), GPVE_USER and GPVE_PASSWORD say where and who. */
#include "life.h"

static char ca[65536];
static gpve_machines *machines;

static gpve_machines *machines_by(const char *token) {
    gpve_client *client = NULL;
    gpve_machines *made = NULL;
    OK(gpve_client_new(getenv("GPVE_URL"), token, ca, &client, &error));
    OK(gpve_client_machines(client, "default", &made, &error));
    gpve_client_free(client);
    return made;
}

static void a_machine_lives_its_whole_life(void) { live(machines); }
static void documents_are_applied_and_replaced(void) { declare(machines); }
static void changes_are_told(void) { watch(machines); }

static void nobody_gets_nothing(void) {
    char *list = NULL;
    gpve_machines *nobody = machines_by(NULL), *stranger = machines_by("root@pam!ci=00000000-0000-0000-0000-000000000000");
    FAILS(GPVE_STATUS_UNAUTHENTICATED, gpve_machines_list(nobody, NULL, &list, &error));
    FAILS(GPVE_STATUS_UNAUTHENTICATED, gpve_machines_list(stranger, NULL, &list, &error));
    gpve_machines_free(nobody);
    gpve_machines_free(stranger);
}

static void a_password_logs_in(void) {
    gpve_client *client = NULL;
    gpve_machines *its = NULL;
    char *list = NULL;
    OK(gpve_client_new(getenv("GPVE_URL"), NULL, ca, &client, &error));
    OK(gpve_client_machines(client, "default", &its, &error));
    FAILS(GPVE_STATUS_UNAUTHENTICATED, gpve_client_login(client, getenv("GPVE_USER"), "wrong", &error));
    OK(gpve_client_login(client, getenv("GPVE_USER"), getenv("GPVE_PASSWORD"), &error));
    OK(gpve_machines_list(its, NULL, &list, &error));
    gpve_string_free(list);
    gpve_machines_free(its);
    gpve_client_free(client);
}

static void another_authority_is_not_trusted(void) {
    gpve_client *client = NULL;
    gpve_machines *its = NULL;
    char *list = NULL;
    OK(gpve_client_new(getenv("GPVE_URL"), getenv("GPVE_TOKEN"), NULL, &client, &error));
    OK(gpve_client_machines(client, "default", &its, &error));
    FAILS(GPVE_STATUS_UNAVAILABLE, gpve_machines_list(its, NULL, &list, &error));
    gpve_machines_free(its);
    gpve_client_free(client);
}

int main(void) {
    check_begin("server");
    FILE *file = fopen(getenv("GPVE_CA"), "rb");
    if (!file) return 2;
    size_t size = fread(ca, 1, sizeof ca - 1, file);
    fclose(file);
    if (size == 0) return 2;
    machines = machines_by(getenv("GPVE_TOKEN"));
    RUN(a_machine_lives_its_whole_life);
    RUN(documents_are_applied_and_replaced);
    RUN(changes_are_told);
    RUN(nobody_gets_nothing);
    RUN(a_password_logs_in);
    RUN(another_authority_is_not_trusted);
    gpve_machines_free(machines);
    return check_end();
}
