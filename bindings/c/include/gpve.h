/* libgpve: virtual machines on QEMU, embedded in your program or on a server. Made by cbindgen; do not edit. Guide: docs/c.md.
 *
 * Errors     A function gives a gpve_status, 0 if it succeeded. Its last argument, unless NULL, gets the error, to be freed by
 *            gpve_error_free, or NULL if there is none. Places for results get NULL or 0 where there is no result.
 * Handles    Each has one owner, who frees it once by the function of its name; in any order: what is made of a handle keeps what it
 *            needs. Use after that is noticed and refused where it can be, which is not always.
 * Texts      UTF-8, ended by NUL, both ways. What the library hands over as char * is freed by gpve_string_free; const char * is not.
 * Documents  Objects are JSON, in the fields of the native API. gpve_document_get looks into them.
 * Threads    Said of each function. "Any thread" includes several at a time with one handle. After a fork, the child may use no handle.
 * State      There is none outside of handles. A client or node has threads of its own, which end with the last handle made of it. */

#ifndef GPVE_H
#define GPVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The version of the interface that this header describes; give it to gpve_abi_check.
#define GPVE_ABI_VERSION 1

// What a function came to: 0, or the kind of its error.
typedef enum gpve_status {
    // It succeeded.
    GPVE_STATUS_OK = 0,
    // An argument or a field of a document is malformed or out of range; the error's `fields` names each.
    GPVE_STATUS_INVALID_INPUT = 1,
    // The caller did not prove who it is.
    GPVE_STATUS_UNAUTHENTICATED = 2,
    // The caller is known and may not do this.
    GPVE_STATUS_PERMISSION_DENIED = 3,
    // The subject does not exist.
    GPVE_STATUS_NOT_FOUND = 4,
    // The subject exists already.
    GPVE_STATUS_ALREADY_EXISTS = 5,
    // Somebody changed the subject in between, or a watch's history is gone.
    GPVE_STATUS_CONFLICT = 6,
    // The subject is in a state that does not allow it, or its task failed and was undone.
    GPVE_STATUS_FAILED_PRECONDITION = 7,
    // A limit, quota or the space on a device is used up.
    GPVE_STATUS_RESOURCE_EXHAUSTED = 8,
    // This host or version cannot do it.
    GPVE_STATUS_UNSUPPORTED = 9,
    // A part needed for it does not answer now.
    GPVE_STATUS_UNAVAILABLE = 10,
    // The time passed first.
    GPVE_STATUS_TIMEOUT = 11,
    // It was cancelled.
    GPVE_STATUS_CANCELLED = 12,
    // It failed and could not be undone: somebody has to look; the message names the next command to run.
    GPVE_STATUS_STUCK = 13,
    // A defect of the library or of something it trusts.
    GPVE_STATUS_INTERNAL = 14,
} gpve_status;

// A client of a server, or of a node in this process. What is made of it keeps what it needs: handles are freed in any order.
typedef struct gpve_client gpve_client;

// A serial port of a running machine. One thread may read while another writes.
typedef struct gpve_console gpve_console;

// A change that a task carries out. Freeing it leaves the task alone.
typedef struct gpve_job gpve_job;

// The virtual machines of one namespace. `name` is a machine's name or its number.
typedef struct gpve_machines gpve_machines;

// The virtual machines of this host, without a server.
typedef struct gpve_node gpve_node;

// One storage's volumes: those of guests, those that no guest uses yet, and images.
typedef struct gpve_storage gpve_storage;

// A stream of changes that reconnects by itself and misses nothing.
typedef struct gpve_watch gpve_watch;

// Why a function failed. Freed by gpve_error_free, with its texts; never NULL in any of them.
typedef struct gpve_error {
    // What kind of failure; the same as the function gave.
    enum gpve_status kind;
    // Whether the same call can succeed later without anybody changing anything.
    bool retry;
    // One line for a human: what happened, and what is allowed or what to do next.
    const char *message;
    // The operation that failed ("volume.create"), or the function, if its arguments were refused.
    const char *op;
    // What it failed on ("vm 100"); empty if nothing in particular.
    const char *subject;
    // Refused fields, as JSON: [{"field": "spec.memory.size", "reason": "…"}].
    const char *fields;
    // The chain of causes, outermost first, as JSON: ["…"].
    const char *causes;
} gpve_error;

// Is told what a task does: `progress` is JSON, {"line": {"n": 1, "t": "…"}} for a new line of its log, or {"task": {…}} when it went to
// another phase or step. The text belongs to the library and ends with the call. Called on the thread that waits. It may call any
// function, gpve_job_cancel among them; it may not free the job, throw or jump out.
typedef void (*gpve_progress)(const char *progress, void *user_data);

// Says whether a machine, as JSON, is as it shall be. The text belongs to the library and ends with the call. Called on the thread that
// waits. It may not call a function that blocks (GPVE_STATUS_FAILED_PRECONDITION), throw or jump out.
typedef bool (*gpve_machine_test)(const char *machine, void *user_data);

// Is told a change: `event` is JSON, {"type": "ADDED" | "MODIFIED" | "DELETED", "resourceVersion": "…", "object": {…}}. The text belongs to
// the library and ends with the call. Called on the watch's own thread, one event at a time. It may call any function, and may free the
// watch; it may not throw or jump out.
typedef void (*gpve_watch_event)(const char *event, void *user_data);

// Is told once, at last, why a watch has ended: GPVE_STATUS_CANCELLED when it was stopped or freed. The error belongs to the library and
// ends with the call. Called as gpve_watch_event.
typedef void (*gpve_watch_ended)(const struct gpve_error *error, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a client of the server at `url` ("https://host:8006"). `token` is an API token, "user@realm!name=secret"; NULL: nobody yet.
// `ca_pem` is the authority to trust, as PEM text; NULL: those that the system trusts. Nothing is sent yet. Does not block. Any thread.
enum gpve_status gpve_client_new(const char *url,
                                 const char *token,
                                 const char *ca_pem,
                                 struct gpve_client **client,
                                 struct gpve_error **error);

// Logs in with a password; what was made of the client uses the session, too. Blocks for one exchange with the server. Any thread.
enum gpve_status gpve_client_login(const struct gpve_client *client,
                                   const char *user,
                                   const char *password,
                                   struct gpve_error **error);

// The virtual machines of a namespace ("default"). Does not block. Any thread.
enum gpve_status gpve_client_machines(const struct gpve_client *client,
                                      const char *namespace_,
                                      struct gpve_machines **machines,
                                      struct gpve_error **error);

// Machines of all namespaces by number, as gpve_machines_list gives those of one. Free `list` with gpve_string_free. Blocks for some
// exchanges. Any thread.
enum gpve_status gpve_client_list(const struct gpve_client *client,
                                  const char *selector,
                                  char **list,
                                  struct gpve_error **error);

// Changes of machines of all namespaces, as gpve_machines_watch gives those of one. Does not block. Any thread.
enum gpve_status gpve_client_watch(const struct gpve_client *client,
                                   const char *selector,
                                   const char *resource_version,
                                   struct gpve_watch **watch,
                                   struct gpve_error **error);

// The task of that id, which an earlier gpve_job_id gave: to wait for it again, in another process too. Nothing is asked yet. Does not
// block. Any thread.
enum gpve_status gpve_client_job(const struct gpve_client *client,
                                 const char *id,
                                 struct gpve_job **job,
                                 struct gpve_error **error);

// Frees a client; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be no client. Any thread, while no other uses it.
enum gpve_status gpve_client_free(struct gpve_client *client);

// Blocks until the guest has written something, or `timeout_ms` milliseconds have passed (0: for ever): GPVE_STATUS_TIMEOUT, and nothing
// is lost. At most `size` bytes, at least 1, go to `buffer`, and their number to `count`: 0 at the end of the stream. They are what
// the guest wrote, no text of any encoding. Any thread; one at a time gets bytes.
enum gpve_status gpve_console_read(const struct gpve_console *console,
                                   uint8_t *buffer,
                                   size_t size,
                                   uint64_t timeout_ms,
                                   size_t *count,
                                   struct gpve_error **error);

// Blocks until `size` bytes were written to the guest's serial port, or `timeout_ms` milliseconds have passed (0: for ever):
// GPVE_STATUS_TIMEOUT, and they may still be written. Any thread; each call's bytes stay together.
enum gpve_status gpve_console_write(const struct gpve_console *console,
                                    const uint8_t *bytes,
                                    size_t size,
                                    uint64_t timeout_ms,
                                    struct gpve_error **error);

// Closes a console and frees it; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be no console. Any thread, while no
// other uses it.
enum gpve_status gpve_console_free(struct gpve_console *console);

// The part of a JSON document that a pointer names (RFC 6901: "/status/phase", "/items/0/metadata/name"): a string as it is, anything
// else as JSON. GPVE_STATUS_NOT_FOUND if there is none. Free the text with gpve_string_free. Does not block. Any thread.
enum gpve_status gpve_document_get(const char *document,
                                   const char *pointer,
                                   char **text,
                                   struct gpve_error **error);

// The name of a machine, from its document or from a watch's event. Free it with gpve_string_free. Does not block. Any thread.
enum gpve_status gpve_machine_name(const char *machine,
                                   char **name,
                                   struct gpve_error **error);

// Where a machine is in its life ("Running", "Stopped", …), from its document or from a watch's event. Free it with gpve_string_free.
// Does not block. Any thread.
enum gpve_status gpve_machine_phase(const char *machine,
                                    char **phase,
                                    struct gpve_error **error);

// The number of a machine, from its document or from a watch's event. Does not block. Any thread.
enum gpve_status gpve_machine_vmid(const char *machine, uint32_t *vmid, struct gpve_error **error);

// Frees a text that the library gave; nothing for NULL. Any thread.
void gpve_string_free(char *text);

// The name of a status, such as "not_found"; "unknown" for a number that is none. Belongs to the library. Any thread, any time.
const char *gpve_status_name(int32_t status);

// Frees an error; nothing for NULL. Not for the error that a gpve_watch_ended function is given. Any thread.
void gpve_error_free(struct gpve_error *error);

// The task's id; NULL if nothing was to do. Belongs to the job. Does not block. Any thread.
const char *gpve_job_id(const struct gpve_job *job);

// Blocks until the task has ended, or `timeout_ms` milliseconds have passed (0: for ever), which does not cancel it:
// GPVE_STATUS_TIMEOUT, and it can be waited for again. A task that failed gives its own error. `on_progress` may be NULL; it gets
// `user_data`. `task`, unless NULL, gets the task as it ended, as JSON: "null" if nothing was to do; free it with gpve_string_free.
// Any thread, several at a time; each is told everything.
enum gpve_status gpve_job_wait(const struct gpve_job *job,
                               uint64_t timeout_ms,
                               gpve_progress on_progress,
                               void *user_data,
                               char **task,
                               struct gpve_error **error);

// Asks the task to stop; it undoes what it did and ends as cancelled, unless it was done before. Blocks for one exchange. Any thread.
enum gpve_status gpve_job_cancel(const struct gpve_job *job,
                                 struct gpve_error **error);

// Frees a job and leaves its task alone; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be no job. Any thread,
// while no other uses it.
enum gpve_status gpve_job_free(struct gpve_job *job);

// All of them by number, as JSON: {"metadata": {"resourceVersion": "…"}, "items": [machine, …]}. `selector` picks by labels
// ("app=web,tier!=test"); NULL: all. Free `list` with gpve_string_free. Blocks for some exchanges. Any thread.
enum gpve_status gpve_machines_list(const struct gpve_machines *machines,
                                    const char *selector,
                                    char **list,
                                    struct gpve_error **error);

// One of them, as JSON: {"metadata": {…}, "spec": {…}, "status": {…}}. Free `machine` with gpve_string_free. Blocks for an exchange. Any
// thread.
enum gpve_status gpve_machines_get(const struct gpve_machines *machines,
                                   const char *name,
                                   char **machine,
                                   struct gpve_error **error);

// Makes one from a document of "metadata" and "spec". `machine`, unless NULL, gets the object as the change left it: free it with gpve_string_free. `job`,
// unless NULL, gets the task that carries it out. Blocks until it is accepted. Any thread.
enum gpve_status gpve_machines_create(const struct gpve_machines *machines,
                                      const char *document,
                                      char **machine,
                                      struct gpve_job **job,
                                      struct gpve_error **error);

// Makes it so: creates it, or changes the fields that `document` names and takes back those that `manager` named before and no longer
// does. GPVE_STATUS_CONFLICT when another manager owns a field, unless `force`. `machine`, unless NULL, gets the object as the change left it: free it with gpve_string_free. `job`,
// unless NULL, gets the task that carries it out. Blocks until it is accepted. Any thread.
enum gpve_status gpve_machines_apply(const struct gpve_machines *machines,
                                     const char *name,
                                     const char *document,
                                     const char *manager,
                                     bool force,
                                     char **machine,
                                     struct gpve_job **job,
                                     struct gpve_error **error);

// Replaces what is asked of it. GPVE_STATUS_CONFLICT when the document's resource version is not the present one. `machine`, unless NULL, gets the object as the change left it: free it with gpve_string_free. `job`,
// unless NULL, gets the task that carries it out. Blocks until it is accepted. Any thread.
enum gpve_status gpve_machines_replace(const struct gpve_machines *machines,
                                       const char *name,
                                       const char *document,
                                       char **machine,
                                       struct gpve_job **job,
                                       struct gpve_error **error);

// Removes it with its volumes; a running one only by `force`, which ends it first. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_delete(const struct gpve_machines *machines,
                                      const char *name,
                                      bool force,
                                      struct gpve_job **job,
                                      struct gpve_error **error);

// Starts it. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_start(const struct gpve_machines *machines,
                                     const char *name,
                                     struct gpve_job **job,
                                     struct gpve_error **error);

// Ends it at once. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_stop(const struct gpve_machines *machines,
                                    const char *name,
                                    struct gpve_job **job,
                                    struct gpve_error **error);

// Asks it to power off, for `timeout_s` seconds (0: 60), and then by `force` ends it. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_shutdown(const struct gpve_machines *machines,
                                        const char *name,
                                        uint32_t timeout_s,
                                        bool force,
                                        struct gpve_job **job,
                                        struct gpve_error **error);

// Shuts it down within `timeout_s` seconds (0: 60) and starts it again, with pending changes applied. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_reboot(const struct gpve_machines *machines,
                                      const char *name,
                                      uint32_t timeout_s,
                                      struct gpve_job **job,
                                      struct gpve_error **error);

// Resets the machine. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_reset(const struct gpve_machines *machines,
                                     const char *name,
                                     struct gpve_job **job,
                                     struct gpve_error **error);

// Halts its processors. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_pause(const struct gpve_machines *machines,
                                     const char *name,
                                     struct gpve_job **job,
                                     struct gpve_error **error);

// Sets them going. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_resume(const struct gpve_machines *machines,
                                      const char *name,
                                      struct gpve_job **job,
                                      struct gpve_error **error);

// Makes a copy. `document` is JSON, {"name": "copy", "full": true}; further: "vmid", "description", "snapshot", "storage", "format". `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_clone(const struct gpve_machines *machines,
                                     const char *name,
                                     const char *document,
                                     struct gpve_job **job,
                                     struct gpve_error **error);

// Makes a stopped one without snapshots a template: it starts no more, and linked copies are made of it. With `disk` ("scsi0"), unless NULL,
// only that disk becomes a base, and it stays a machine. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_template(const struct gpve_machines *machines,
                                        const char *name,
                                        const char *disk,
                                        struct gpve_job **job,
                                        struct gpve_error **error);

// Grows a disk. `document` is JSON, {"disk": "scsi0", "size": "20Gi"}; "+5Gi" adds to it. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_resize(const struct gpve_machines *machines,
                                      const char *name,
                                      const char *document,
                                      struct gpve_job **job,
                                      struct gpve_error **error);

// Its snapshots, oldest first, as JSON: [{"name": "…", "description": "…", "time": "…", "memory": false}]. Free `list` with
// gpve_string_free. Blocks for an exchange. Any thread.
enum gpve_status gpve_machines_snapshots(const struct gpve_machines *machines,
                                         const char *name,
                                         char **list,
                                         struct gpve_error **error);

// Takes a snapshot. `document` is JSON, {"name": "before", "description": "…"}. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_snapshot(const struct gpve_machines *machines,
                                        const char *name,
                                        const char *document,
                                        struct gpve_job **job,
                                        struct gpve_error **error);

// Changes a snapshot's description. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_describe_snapshot(const struct gpve_machines *machines,
                                                 const char *name,
                                                 const char *snapshot,
                                                 const char *description,
                                                 struct gpve_job **job,
                                                 struct gpve_error **error);

// Deletes a snapshot. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_delete_snapshot(const struct gpve_machines *machines,
                                               const char *name,
                                               const char *snapshot,
                                               struct gpve_job **job,
                                               struct gpve_error **error);

// Sets it back to a snapshot; a running one is ended first. `job`, unless NULL, gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_machines_rollback(const struct gpve_machines *machines,
                                        const char *name,
                                        const char *snapshot,
                                        struct gpve_job **job,
                                        struct gpve_error **error);

// Opens serial port `port` of a running one. Blocks for an exchange. Any thread.
enum gpve_status gpve_machines_console(const struct gpve_machines *machines,
                                       const char *name,
                                       uint8_t port,
                                       struct gpve_console **console,
                                       struct gpve_error **error);

// Changes after `resource_version`, which a list or a machine has at "/metadata/resourceVersion" and a watch tells by
// gpve_watch_position. `selector` as in gpve_machines_list. Nothing is asked before the first event is. Does not block. Any thread.
enum gpve_status gpve_machines_watch(const struct gpve_machines *machines,
                                     const char *selector,
                                     const char *resource_version,
                                     struct gpve_watch **watch,
                                     struct gpve_error **error);

// Blocks until `is_so` holds of it, or `timeout_ms` milliseconds have passed (0: for ever): GPVE_STATUS_TIMEOUT. Watches, never polls.
// `is_so` gets `user_data`. `machine`, unless NULL, gets it as it then was: free it with gpve_string_free. Any thread.
enum gpve_status gpve_machines_wait_for(const struct gpve_machines *machines,
                                        const char *name,
                                        gpve_machine_test is_so,
                                        void *user_data,
                                        uint64_t timeout_ms,
                                        char **machine,
                                        struct gpve_error **error);

// The same until its phase is `phase` ("Running", "Stopped", …).
enum gpve_status gpve_machines_wait_phase(const struct gpve_machines *machines,
                                          const char *name,
                                          const char *phase,
                                          uint64_t timeout_ms,
                                          char **machine,
                                          struct gpve_error **error);

// Frees it; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be something else. Any thread, while no other uses it.
enum gpve_status gpve_machines_free(struct gpve_machines *machines);

// Opens the node whose state is in a directory: takes up its running guests and goes on with interrupted work. `options` is JSON:
//   "directory"   where state is kept: an absolute path, made if it is not there, for one process at a time
//   "simulated"   true: everything in memory, without QEMU, disks and bridges
//   "runtimeDir"  where guests' sockets are: a short path; "run" below the directory unless given
//   "guestUser"   whom guests run as if this process is root: "nobody" unless given
//   "node"        the node's name: "localhost" unless given
//   "storages"    [{"id": "fast", "path": "/srv/fast"}]; one called "local" below the directory unless given
// Only "directory" is needed. Blocks while it starts, some seconds at most. Any thread.
enum gpve_status gpve_node_open(const char *options,
                                struct gpve_node **node,
                                struct gpve_error **error);

// A client of the node, which works like that of a server. Does not block. Any thread.
enum gpve_status gpve_node_client(const struct gpve_node *node, struct gpve_client **client, struct gpve_error **error);

// Closes a node and frees it; nothing for NULL. Guests go on running and are taken up again by the next gpve_node_open of the
// directory. Its clients, which are still to be freed, get errors from then on. Blocks until its stores are closed. Any thread, while
// no other uses it; not from a gpve_machine_test.
enum gpve_status gpve_node_free(struct gpve_node *node);

// What gpve_machines_create would do, as JSON: {"verb": "create", "vmid": 100, "node": "…", "steps": ["…"], "spec": {…}}. Nothing is done, and
// a number that was not asked for is not kept. Free `plan` with gpve_string_free. Blocks for an exchange. Any thread.
enum gpve_status gpve_machines_plan_create(const struct gpve_machines *machines,
                                           const char *document,
                                           char **plan,
                                           struct gpve_error **error);

// What gpve_machines_apply would do, as JSON; "changes" names the fields, and without "steps" it is so already. Nothing is done. Free
// `plan` with gpve_string_free. Blocks for an exchange. Any thread.
enum gpve_status gpve_machines_plan_apply(const struct gpve_machines *machines,
                                          const char *name,
                                          const char *document,
                                          const char *manager,
                                          bool force,
                                          char **plan,
                                          struct gpve_error **error);

// The storage called `name`; with `node`, unless NULL, the one of that node, which is needed where several have one of that name. Nothing
// is asked yet. Does not block. Any thread.
enum gpve_status gpve_client_storage(const struct gpve_client *client,
                                     const char *name,
                                     const char *node,
                                     struct gpve_storage **storage,
                                     struct gpve_error **error);

// Its volumes by name, read now, as JSON: [{"id": "local:100/vm-100-disk-0.qcow2", "format": "qcow2", "size": "8Gi", "vmid": 100, …}]; only those of
// the guest of number `vmid`, unless that is 0. Free `list` with gpve_string_free. Blocks for an exchange. Any thread.
enum gpve_status gpve_storage_volumes(const struct gpve_storage *storage,
                                      uint32_t vmid,
                                      char **list,
                                      struct gpve_error **error);

// Makes an empty volume. `document` is JSON, {"vmid": 100, "size": "8Gi"}: for which guest, which need not exist, and how large; further: "name", the
// first free one unless given, which the task's log tells, and "format". `job`, unless NULL, gets its task. Blocks until it is accepted,
// not until it is done. Any thread.
enum gpve_status gpve_storage_create_volume(const struct gpve_storage *storage,
                                            const char *document,
                                            struct gpve_job **job,
                                            struct gpve_error **error);

// Deletes a volume, by its id or its name on the storage, that no guest uses: otherwise GPVE_STATUS_FAILED_PRECONDITION. `job`, unless NULL,
// gets its task. Blocks until it is accepted, not until it is done. Any thread.
enum gpve_status gpve_storage_delete_volume(const struct gpve_storage *storage,
                                            const char *volume,
                                            struct gpve_job **job,
                                            struct gpve_error **error);

// Frees it; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be something else. Any thread, while no other uses it.
enum gpve_status gpve_storage_free(struct gpve_storage *storage);

// The version of the library, such as "0.1.0". Belongs to the library. Any thread, any time.
const char *gpve_version(void);

// The version of the interface that the loaded library has: 65536 times its major part, plus its minor part. Any thread, any time.
uint32_t gpve_abi_version(void);

// Whether the loaded library serves a program that was compiled for `expected`, which is GPVE_ABI_VERSION: the major part must be
// the same, and the library's minor part as high or higher; while the major part is 0, the same. Any thread, any time.
bool gpve_abi_check(uint32_t expected);

// Blocks until there is a change, or `timeout_ms` milliseconds have passed (0: for ever): GPVE_STATUS_TIMEOUT, and nothing is missed.
// `event` gets it as gpve_watch_event does; free it with gpve_string_free. GPVE_STATUS_CONFLICT when the history in between is gone: list
// again and watch from there. Any thread; of several, each gets events of its own.
enum gpve_status gpve_watch_next(const struct gpve_watch *watch,
                                 uint64_t timeout_ms,
                                 char **event,
                                 struct gpve_error **error);

// Tells every change to `on_event`, from a thread that it starts, until the watch ends, is stopped or freed, which `on_end`, unless NULL,
// is told. Both get `user_data`, which must stay until the end was told or gpve_watch_free has returned on another thread. Once per
// watch. Does not block. Any thread.
enum gpve_status gpve_watch_start(const struct gpve_watch *watch,
                                  gpve_watch_event on_event,
                                  gpve_watch_ended on_end,
                                  void *user_data,
                                  struct gpve_error **error);

// Where to resume after the last event: a resource version for gpve_machines_watch. Free it with gpve_string_free. Blocks while another
// thread waits in gpve_watch_next. Any thread.
enum gpve_status gpve_watch_position(const struct gpve_watch *watch,
                                     char **position,
                                     struct gpve_error **error);

// Ends every wait for an event of it, now and later, with GPVE_STATUS_CANCELLED. Does not block. Any thread.
enum gpve_status gpve_watch_stop(const struct gpve_watch *watch, struct gpve_error **error);

// Stops a watch and frees it; nothing for NULL. Blocks until a function that is being told an event has returned, unless it is that
// function which calls. GPVE_STATUS_INVALID_INPUT for what can be seen to be no watch. Any thread, while no other uses it.
enum gpve_status gpve_watch_free(struct gpve_watch *watch);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GPVE_H */
