#define _POSIX_C_SOURCE 200809L
#include "operations.h"
#include "things.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ALGORITHMS[] = {"p2c", "weighted_random", "weighted_round_robin", "maglev",
                                         NULL};
static const char *const STATUSES[] = {"up", "starting", "draining", "down", NULL};
static const char *const STATES[] = {"live", "stale", "snapshot", "static", NULL};
static const char *const REASONS[] = {"none",         "deregistered", "lease_expired",
                                      "session_lost", "operator",     "moved"};
static const char *const WHYS[] = {"normal", "slow_start", "excluded_fallback", "panic", "probe"};
static const char *const OUTCOMES[] = {"ok",           "fail",       "timeout",
                                       "connect_fail", "overloaded", "cancelled", NULL};

const char *state_name(int32_t state) {
  return STATES[state - QUORATE_STATE_LIVE];
}

const char *reason_name(int32_t reason) {
  return REASONS[reason];
}

static void open_client(struct command *command) {
  const char *as = need_text(command, "as");
  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = get_list(command, &options.endpoint_count, "endpoints");
  options.default_namespace = get_text(command, "namespace");
  options.cache_dir = get_text(command, "cache_dir");
  options.client_name = get_text(command, "client_name");
  options.request_timeout_ms = get_number(command, options.request_timeout_ms, INT64_MIN, INT64_MAX,
                                          "request_timeout_ms");
  options.connect_timeout_ms = get_number(command, options.connect_timeout_ms, INT64_MIN, INT64_MAX,
                                          "connect_timeout_ms");
  options.algorithm =
      get_name(command, options.algorithm, ALGORITHMS, QUORATE_P2C, "algorithm");

  quorate_setting_t *settings = keep(command, (command->field_count + 1) * sizeof *settings);
  for (size_t i = 0; i < command->field_count; i++) {
    const char *key = command->fields[i].key;
    if (strncmp(key, "balancer.", 9) != 0) continue;
    settings[options.balancer_count].name = key + 9;
    settings[options.balancer_count++].value = get_real(command, "%s", key);
  }
  options.balancer = settings;

  size_t count = 0;
  while (has(command, "static.%zu.service", count)) count++;
  quorate_static_instance_t *instances = keep(command, (count + 1) * sizeof *instances);
  quorate_instance_options_t *more = keep(command, (count + 1) * sizeof *more);
  for (size_t i = 0; i < count; i++) {
    quorate_instance_options_init(&more[i], sizeof more[i]);
    more[i].id = get_text(command, "static.%zu.id", i);
    more[i].weight = (int32_t)get_number(command, more[i].weight, INT32_MIN, INT32_MAX,
                                         "static.%zu.weight", i);
    instances[i].service = get_text(command, "static.%zu.service", i);
    instances[i].address = get_text(command, "static.%zu.address", i);
    instances[i].options = &more[i];
  }
  options.static_instances = instances;
  options.static_instance_count = count;
  if (!ready(command)) return;
  struct thing made = {.kind = CLIENT};
  quorate_error_t *error = NULL;
  if (!succeeded(command, quorate_client_open(&options, &made.client, &error), &error)) return;
  name_it(as, made);
}

static void connected(struct command *command) {
  struct thing *of = client_of(command);
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command,
              quorate_client_connected(of->client, QUORATE_NO_LIMIT, command->cancel, &error),
              &error);
  }
  let_go(of);
}

static void close_client(struct command *command) {
  struct thing *of = client_of(command);
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command, quorate_client_close(of->client, QUORATE_NO_LIMIT, command->cancel, &error),
              &error);
  }
  let_go(of);
}

static void metrics(struct command *command) {
  struct thing *of = client_of(command);
  if (of != NULL && ready(command)) {
    quorate_metrics_t counts;
    counts.struct_size = sizeof counts;
    quorate_error_t *error = NULL;
    if (succeeded(command, quorate_metrics(of->client, &counts, &error), &error)) {
#define COUNT(name) put_number(command, #name, (int64_t)counts.name)
      COUNT(retries);
      COUNT(server_failures);
      COUNT(stream_reconnects);
      COUNT(leases_lost);
      COUNT(sessions_opened);
      COUNT(sessions_resumed);
      COUNT(sessions_broken);
      COUNT(heartbeats);
      COUNT(registrations);
      COUNT(services_unknown);
      COUNT(services_live);
      COUNT(services_stale);
      COUNT(services_snapshot);
      COUNT(services_static);
      COUNT(picks);
      COUNT(resyncs);
      COUNT(hash_mismatches);
      COUNT(empties_refused);
      COUNT(shrinks_held);
      COUNT(cache_files_bad);
      COUNT(cache_files_written);
      COUNT(cache_files_failed);
    }
  }
  let_go(of);
}

static void server_status(struct command *command) {
  struct thing *of = client_of(command);
  quorate_server_list_t *list = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_server_status(of->client, QUORATE_NO_LIMIT, command->cancel, &list, &error),
                &error)) {
    for (size_t i = 0; i < list->server_count; i++) {
      const quorate_server_t *server = list->servers[i];
      put_text(command, key_of("server.%zu.address", i), server->address);
      if (server->error != NULL) {
        put_text(command, key_of("server.%zu.error", i), server->error->message);
        continue;
      }
      put_text(command, key_of("server.%zu.version", i), server->version);
      char leader[24];
      snprintf(leader, sizeof leader, "%llu", (unsigned long long)server->leader);
      put_text(command, key_of("server.%zu.leader", i), leader);
      put_number(command, key_of("server.%zu.term", i), (int64_t)server->term);
      put_number(command, key_of("server.%zu.revision", i), server->revision);
    }
  }
  quorate_server_list_free(&list);
  let_go(of);
}

/* All metadata of a command. */
static size_t get_metadata(struct command *command, quorate_label_t **labels) {
  size_t count = 0;
  *labels = keep(command, (command->field_count + 1) * sizeof **labels);
  for (size_t i = 0; i < command->field_count; i++) {
    const struct field *field = &command->fields[i];
    if (strncmp(field->key, "metadata.", 9) != 0) continue;
    if (strlen(field->key) != field->key_size) {
      fail(command, "host:nul", false, "a C string cannot hold a NUL");
    }
    (*labels)[count].key = field->key + 9;
    (*labels)[count++].value = get_text(command, "%s", field->key);
  }
  return count;
}

static void register_instance(struct command *command) {
  const char *as = need_text(command, "as");
  const char *service = need_text(command, "service");
  const char *address = need_text(command, "address");
  quorate_instance_options_t options;
  quorate_instance_options_init(&options, sizeof options);
  options.id = get_text(command, "id");
  options.zone = get_text(command, "zone");
  options.version = get_text(command, "version");
  options.weight =
      (int32_t)get_number(command, options.weight, INT32_MIN, INT32_MAX, "weight");
  options.ttl_ms = get_number(command, options.ttl_ms, INT64_MIN, INT64_MAX, "ttl_ms");
  options.status =
      get_name(command, options.status, STATUSES, QUORATE_STATUS_UP, "status");
  quorate_label_t *labels = NULL;
  options.metadata_count = get_metadata(command, &labels);
  options.metadata = labels;
  struct thing *of = client_of(command);
  struct thing made = {.kind = REGISTRATION};
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_register(of->client, service, address, &options, QUORATE_NO_LIMIT,
                                 command->cancel, &made.registration, &error),
                &error)) {
    put_text(command, "id", quorate_registration_id(made.registration));
    put_number(command, "revision", (int64_t)quorate_registration_revision(made.registration));
    name_it(as, made);
  }
  let_go(of);
}

static void registration(struct command *command) {
  struct thing *of = named(command, "registration");
  if (of != NULL && ready(command)) {
    put_text(command, "id", quorate_registration_id(of->registration));
    put_text(command, "namespace", quorate_registration_namespace(of->registration));
    put_text(command, "service", quorate_registration_service(of->registration));
    put_number(command, "revision", (int64_t)quorate_registration_revision(of->registration));
    int32_t reason = quorate_registration_evicted(of->registration);
    if (reason != QUORATE_REASON_NONE) put_text(command, "evicted", reason_name(reason));
  }
  let_go(of);
}

static void update(struct command *command) {
  quorate_update_t change;
  quorate_update_init(&change, sizeof change);
  change.status = get_name(command, change.status, STATUSES, QUORATE_STATUS_UP, "status");
  /* The smallest number stands for "as it is". */
  change.weight =
      (int32_t)get_number(command, change.weight, INT32_MIN + 1, INT32_MAX, "weight");
  quorate_label_t *labels = NULL;
  change.metadata_count = get_metadata(command, &labels);
  change.metadata = labels;
  change.set_metadata = change.metadata_count > 0;
  struct thing *of = named(command, "registration");
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_registration_update(of->registration, &change, QUORATE_NO_LIMIT,
                                            command->cancel, &error),
                &error)) {
    put_number(command, "revision", (int64_t)quorate_registration_revision(of->registration));
  }
  let_go(of);
}

static void deregister(struct command *command) {
  struct thing *of = named(command, "registration");
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command,
              quorate_registration_deregister(of->registration, QUORATE_NO_LIMIT, command->cancel,
                                              &error),
              &error);
  }
  let_go(of);
}

static void put_instance(struct command *command, size_t place, const quorate_instance_t *one) {
  put_text(command, key_of("instance.%zu.id", place), one->id);
  put_text(command, key_of("instance.%zu.address", place), one->address);
  put_number(command, key_of("instance.%zu.weight", place), one->weight);
  put_text(command, key_of("instance.%zu.zone", place), one->zone);
  put_text(command, key_of("instance.%zu.version", place), one->version);
  put_text(command, key_of("instance.%zu.status", place),
           STATUSES[one->status - QUORATE_STATUS_UP]);
  put_number(command, key_of("instance.%zu.ttl_ms", place), one->ttl_ms);
  put_number(command, key_of("instance.%zu.revision", place), (int64_t)one->revision);
  for (size_t i = 0; i < one->metadata_count; i++) {
    put_text(command, key_of("instance.%zu.metadata.%s", place, one->metadata[i].key),
             one->metadata[i].value);
  }
}

void put_view(struct command *command, const quorate_view_t *view) {
  put_text(command, "state", state_name(view->state));
  put_bool(command, "complete", view->complete);
  put_number(command, "revision", (int64_t)view->revision);
  put_number(command, "instances", (int64_t)view->instance_count);
  for (size_t i = 0; i < view->instance_count; i++) put_instance(command, i, view->instances[i]);
}

static void discover(struct command *command) {
  const char *service = need_text(command, "service");
  int64_t limit = get_number(command, QUORATE_NO_LIMIT, 0, INT64_MAX, "timeout_ms");
  struct thing *of = client_of(command);
  quorate_view_t *found = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_discover(of->client, service, limit, command->cancel, &found, &error),
                &error)) {
    put_view(command, found);
  }
  quorate_view_free(&found);
  let_go(of);
}

static void view(struct command *command) {
  const char *name = need_text(command, "service");
  struct thing *of = client_of(command);
  quorate_service_t *service = NULL;
  quorate_view_t *known = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command, quorate_service_open(of->client, name, &service, &error), &error) &&
      succeeded(command, quorate_service_view(service, &known, &error), &error)) {
    if (known != NULL) {
      put_view(command, known);
    } else {
      put_bool(command, "none", true);
    }
  }
  quorate_view_free(&known);
  quorate_service_free(&service);
  let_go(of);
}

static void list_services(struct command *command) {
  const char *name = get_text(command, "namespace");
  struct thing *of = client_of(command);
  quorate_summary_list_t *list = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_list_services(of->client, name, QUORATE_NO_LIMIT, command->cancel, &list,
                                      &error),
                &error)) {
    put_number(command, "services", (int64_t)list->service_count);
    for (size_t i = 0; i < list->service_count; i++) {
      const quorate_summary_t *one = list->services[i];
      put_text(command, key_of("service.%zu.namespace", i), one->service_namespace);
      put_text(command, key_of("service.%zu.name", i), one->service);
      put_number(command, key_of("service.%zu.instances", i), one->instances);
      put_number(command, key_of("service.%zu.up", i), one->up);
    }
  }
  quorate_summary_list_free(&list);
  let_go(of);
}

static void pick(struct command *command) {
  const char *service = need_text(command, "service");
  const char *as = get_text(command, "as");
  quorate_pick_options_t options;
  quorate_pick_options_init(&options, sizeof options);
  struct bytes sticky = get_bytes(command, "sticky");
  options.sticky = sticky.data;
  options.sticky_size = sticky.size;
  options.exclude = get_list(command, &options.exclude_count, "excluding");
  struct thing *of = client_of(command);
  struct thing made = {.kind = PICK};
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command, quorate_pick(of->client, service, &options, &made.pick, &error),
                &error)) {
    put_text(command, "address", quorate_pick_address(made.pick));
    put_text(command, "id", quorate_pick_id(made.pick));
    put_text(command, "state", state_name(quorate_pick_state(made.pick)));
    put_text(command, "why", WHYS[quorate_pick_why(made.pick)]);
    name_it(as, made);
  }
  let_go(of);
}

static void report(struct command *command) {
  int32_t outcome = get_name(command, INT32_MAX, OUTCOMES, QUORATE_OUTCOME_OK, "outcome");
  int64_t latency = get_number(command, -1, 0, INT64_MAX / 1000, "latency_ms");
  int64_t retry_after = get_number(command, -1, 0, INT64_MAX, "retry_after_ms");
  struct thing *of = named(command, "pick");
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command,
              quorate_pick_report(of->pick, outcome, latency < 0 ? -1 : latency * 1000,
                                  retry_after, &error),
              &error);
  }
  let_go(of);
}

static void may_retry(struct command *command) {
  const char *service = need_text(command, "service");
  struct thing *of = client_of(command);
  if (of != NULL && ready(command)) {
    put_bool(command, "value", quorate_may_retry(of->client, service));
  }
  let_go(of);
}

/* How often each address was picked, by its order of appearance. */
struct tally {
  char *address;
  int64_t count;
};

static void pick_many(struct command *command) {
  const char *service = need_text(command, "service");
  int64_t count = get_number(command, 0, 0, 10000000, "count");
  struct bytes prefix = get_bytes(command, "sticky_prefix");
  quorate_pick_options_t options;
  quorate_pick_options_init(&options, sizeof options);
  options.exclude = get_list(command, &options.exclude_count, "excluding");
  for (size_t i = 0; i < command->field_count; i++) {
    struct field *field = &command->fields[i];
    if (strncmp(field->key, "outcome.", 8) == 0 || strncmp(field->key, "latency_ms.", 11) == 0) {
      field->read = true;
    }
  }
  struct thing *of = client_of(command);
  if (of == NULL || !ready(command)) {
    let_go(of);
    return;
  }
  char *sticky = keep(command, prefix.size + 24);
  struct tally *tallies = NULL;
  size_t tally_count = 0;
  int64_t whys[5] = {0}, failed = 0;
  for (int64_t i = 0; i < count && command->failure == NULL; i++) {
    if (prefix.data != NULL) {
      memcpy(sticky, prefix.data, prefix.size);
      int digits = snprintf(sticky + prefix.size, 24, "%lld", (long long)i);
      options.sticky = sticky;
      options.sticky_size = prefix.size + (size_t)digits;
    }
    quorate_pick_t *chosen = NULL;
    quorate_error_t *error = NULL;
    quorate_code_t code = quorate_pick(of->client, service, &options, &chosen, &error);
    if (code == QUORATE_NO_ENDPOINTS) {
      failed++;
      quorate_error_free(&error);
      continue;
    }
    if (!succeeded(command, code, &error)) break;
    const char *address = quorate_pick_address(chosen);
    size_t at = 0;
    while (at < tally_count && strcmp(tallies[at].address, address) != 0) at++;
    if (at == tally_count) {
      tallies = realloc(tallies, ++tally_count * sizeof *tallies);
      if (tallies == NULL) abort();
      tallies[at] = (struct tally){strdup(address), 0};
    }
    tallies[at].count++;
    whys[quorate_pick_why(chosen)]++;
    int32_t outcome =
        get_name(command, QUORATE_OUTCOME_OK, OUTCOMES, QUORATE_OUTCOME_OK, "outcome.%s", address);
    int64_t latency = get_number(command, 1, 0, INT64_MAX / 1000, "latency_ms.%s", address);
    succeeded(command, quorate_pick_report(chosen, outcome, latency * 1000, -1, &error), &error);
    quorate_pick_free(&chosen);
  }
  for (size_t i = 0; i < tally_count; i++) {
    put_number(command, key_of("count.%s", tallies[i].address), tallies[i].count);
    free(tallies[i].address);
  }
  free(tallies);
  for (size_t i = 0; i < 5; i++) {
    if (whys[i] > 0) put_number(command, key_of("why.%s", WHYS[i]), whys[i]);
  }
  put_number(command, "failed", failed);
  let_go(of);
}

const struct entry discovery_operations[] = {
    {"open", open_client},
    {"connected", connected},
    {"close", close_client},
    {"metrics", metrics},
    {"server_status", server_status},
    {"register", register_instance},
    {"registration", registration},
    {"update", update},
    {"deregister", deregister},
    {"discover", discover},
    {"view", view},
    {"list_services", list_services},
    {"pick", pick},
    {"report", report},
    {"may_retry", may_retry},
    {"pick_many", pick_many},
    {NULL, NULL},
};
