/* The same life on a server: GPVE_URL, GPVE_TOKEN, GPVE_CA (a file), GPVE_USER and GPVE_PASSWORD say where and who. */
#include "life.h"

static char ca[65536];
static gpve_client *client;
static gpve_machines *machines;

static gpve_client *client_by(const char *token) {
    gpve_client *made = NULL;
    OK(gpve_client_new(getenv("GPVE_URL"), token, ca, &made, &error));
    return made;
}

static gpve_machines *machines_by(const char *token) {
    gpve_client *by = client_by(token);
    gpve_machines *made = NULL;
    OK(gpve_client_machines(by, "default", &made, &error));
    gpve_client_free(by);
    return made;
}

static void a_machine_lives_its_whole_life(void) { live(machines); }
static void documents_are_applied_and_replaced(void) { declare(machines); }
static void changes_are_told(void) { watch(machines); }
static void a_plan_does_nothing(void) { plan(machines); }
static void a_spare_volume_is_made_listed_and_deleted(void) { keep_volumes(client); }
static void machines_of_every_namespace_are_told_of(void) { find(client); }

static void nobody_gets_nothing(void) {
    char *list = NULL;
    gpve_machines *nobody = machines_by(NULL), *stranger = machines_by("root@pam!ci=00000000-0000-0000-0000-000000000000");
    FAILS(GPVE_STATUS_UNAUTHENTICATED, gpve_machines_list(nobody, NULL, &list, &error));
    FAILS(GPVE_STATUS_UNAUTHENTICATED, gpve_machines_list(stranger, NULL, &list, &error));
    gpve_machines_free(nobody);
    gpve_machines_free(stranger);
}

static void a_password_logs_in(void) {
    gpve_client *visitor = NULL;
    gpve_machines *its = NULL;
    char *list = NULL;
    OK(gpve_client_new(getenv("GPVE_URL"), NULL, ca, &visitor, &error));
    OK(gpve_client_machines(visitor, "default", &its, &error));
    FAILS(GPVE_STATUS_UNAUTHENTICATED, gpve_client_login(visitor, getenv("GPVE_USER"), "wrong", &error));
    OK(gpve_client_login(visitor, getenv("GPVE_USER"), getenv("GPVE_PASSWORD"), &error));
    OK(gpve_machines_list(its, NULL, &list, &error));
    gpve_string_free(list);
    gpve_machines_free(its);
    gpve_client_free(visitor);
}

static void another_authority_is_not_trusted(void) {
    gpve_client *visitor = NULL;
    gpve_machines *its = NULL;
    char *list = NULL;
    OK(gpve_client_new(getenv("GPVE_URL"), getenv("GPVE_TOKEN"), NULL, &visitor, &error));
    OK(gpve_client_machines(visitor, "default", &its, &error));
    FAILS(GPVE_STATUS_UNAVAILABLE, gpve_machines_list(its, NULL, &list, &error));
    gpve_machines_free(its);
    gpve_client_free(visitor);
}

int main(void) {
    check_begin("server");
    FILE *file = fopen(getenv("GPVE_CA"), "rb");
    if (!file) return 2;
    size_t size = fread(ca, 1, sizeof ca - 1, file);
    fclose(file);
    if (size == 0) return 2;
    client = client_by(getenv("GPVE_TOKEN"));
    machines = machines_by(getenv("GPVE_TOKEN"));
    RUN(a_machine_lives_its_whole_life);
    RUN(documents_are_applied_and_replaced);
    RUN(changes_are_told);
    RUN(a_plan_does_nothing);
    RUN(a_spare_volume_is_made_listed_and_deleted);
    RUN(machines_of_every_namespace_are_told_of);
    RUN(nobody_gets_nothing);
    RUN(a_password_logs_in);
    RUN(another_authority_is_not_trusted);
    gpve_machines_free(machines);
    gpve_client_free(client);
    return check_end();
}
