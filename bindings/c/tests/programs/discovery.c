/* Services: registering, finding, following, picking; what the client says of itself. */
#include "check.h"

static quorate_registration_t *registered(quorate_client_t *client, const char *service,
                                          const char *address, int32_t weight) {
  quorate_label_t metadata[] = {{"team", "checkout"}, {"tier", ""}};
  quorate_instance_options_t options;
  quorate_instance_options_init(&options, sizeof options);
  CHECK(options.weight == 100 && options.ttl_ms == 10000 && options.status == QUORATE_STATUS_UP);
  options.weight = weight;
  options.zone = "fra-1";
  options.version = "1.2";
  options.metadata = metadata;
  options.metadata_count = 2;
  quorate_registration_t *registration = NULL;
  OK(quorate_register(client, service, address, &options, SOON, NULL, &registration, &error));
  return registration;
}

/* The next event that changes instances. */
static quorate_event_t *next_change(quorate_queue_t *queue) {
  for (;;) {
    quorate_event_t *event = next_event(queue);
    CHECK(event->kind == QUORATE_EVENT_SERVICE && event->service->view != NULL);
    if (event->service->change == QUORATE_SERVICE_CHANGED) return event;
    quorate_event_free(&event);
  }
}

static void living(quorate_client_t *client) {
  quorate_queue_t *queue = open_queue();
  quorate_registration_t *shop = registered(client, "shop", "10.0.0.1:80", 7);
  CHECK(strcmp(quorate_registration_id(shop), "10.0.0.1:80") == 0);
  CHECK(strcmp(quorate_registration_address(shop), "10.0.0.1:80") == 0);
  CHECK(strcmp(quorate_registration_service(shop), "shop") == 0);
  CHECK(strcmp(quorate_registration_namespace(shop), "default") == 0);
  CHECK(quorate_registration_revision(shop) > 0 && quorate_registration_evicted(shop) == 0);

  quorate_view_t *view = NULL;
  OK(quorate_discover(client, "shop", SOON, NULL, &view, &error));
  CHECK(view->instance_count == 1 && view->instances[1] == NULL);
  CHECK(view->state == QUORATE_STATE_LIVE && strcmp(view->service, "shop") == 0);
  CHECK(strcmp(view->service_namespace, "default") == 0 && view->revision > 0);
  const quorate_instance_t *one = view->instances[0];
  CHECK(strcmp(one->address, "10.0.0.1:80") == 0 && one->weight == 7);
  CHECK(strcmp(one->zone, "fra-1") == 0 && strcmp(one->version, "1.2") == 0);
  CHECK(one->status == QUORATE_STATUS_UP && one->ttl_ms == 10000 && one->revision > 0);
  CHECK(one->metadata_count == 2 && strcmp(one->metadata[0].key, "team") == 0);
  CHECK(strcmp(one->metadata[0].value, "checkout") == 0 && one->metadata[1].value[0] == '\0');
  quorate_view_free(&view);

  int here = 0;
  quorate_watch_t *watch = NULL;
  OK(quorate_watch_service(client, "shop", queue, &here, &watch, &error));
  quorate_event_t *event = next_event(queue);
  CHECK(event->kind == QUORATE_EVENT_SERVICE && event->user_data == &here);
  CHECK(event->service->change == QUORATE_SERVICE_SNAPSHOT);
  CHECK(event->service->view->instance_count == 1 && event->service->added[0] == NULL);
  quorate_event_free(&event);

  quorate_registration_t *second = registered(client, "shop", "10.0.0.2:80", 100);
  event = next_change(queue);
  CHECK(event->service->added_count == 1 && event->service->view->instance_count == 2);
  CHECK(strcmp(event->service->added[0]->id, "10.0.0.2:80") == 0);
  quorate_event_free(&event);

  quorate_update_t update;
  quorate_update_init(&update, sizeof update);
  update.status = QUORATE_STATUS_DRAINING;
  update.weight = 0;
  update.set_metadata = 1;
  OK(quorate_registration_update(second, &update, SOON, NULL, &error));
  event = next_change(queue);
  CHECK(event->service->updated_count == 1);
  one = event->service->updated[0];
  CHECK(one->status == QUORATE_STATUS_DRAINING && one->weight == 0 && one->metadata_count == 0);
  quorate_event_free(&event);
  quorate_update_init(&update, sizeof update);
  update.weight = -1;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_registration_update(second, &update, SOON, NULL, &error));

  OK(quorate_registration_deregister(second, SOON, NULL, &error));
  OK(quorate_registration_deregister(second, SOON, NULL, &error));
  event = next_change(queue);
  CHECK(event->service->removed_count == 1);
  CHECK(event->service->removed[0]->reason == QUORATE_REASON_DEREGISTERED);
  CHECK(strcmp(event->service->removed[0]->instance->id, "10.0.0.2:80") == 0);
  quorate_event_free(&event);
  CHECK(quorate_registration_revision(second) == 0);
  quorate_update_init(&update, sizeof update);
  FAILS(QUORATE_NOT_FOUND, quorate_registration_update(second, &update, SOON, NULL, &error));
  quorate_registration_free(&second);

  /* Freed, it is deregistered in the background. */
  quorate_registration_free(&shop);
  CHECK(shop == NULL);
  event = next_change(queue);
  CHECK(event->service->removed_count == 1 && event->service->view->instance_count == 0);
  quorate_event_free(&event);
  quorate_watch_free(&watch);
  quorate_queue_free(&queue);
}

static void picking(quorate_client_t *client) {
  quorate_registration_t *a = registered(client, "pick", "10.0.0.1:80", 1);
  quorate_registration_t *b = registered(client, "pick", "10.0.0.2:80", 1);
  quorate_pick_t *pick = NULL;
  FAILS(QUORATE_NO_ENDPOINTS, quorate_pick(client, "unknown", NULL, &pick, &error));
  CHECK(pick == NULL && !quorate_may_retry(client, "unknown-too"));
  quorate_service_t *service = NULL;
  OK(quorate_service_open(client, "pick", &service, &error));
  quorate_view_t *view = NULL;
  do {
    quorate_view_free(&view);
    OK(quorate_discover(client, "pick", SOON, NULL, &view, &error));
  } while (view->instance_count != 2);
  quorate_view_free(&view);
  OK(quorate_service_view(service, &view, &error));
  CHECK(view != NULL && view->instance_count == 2);
  quorate_view_free(&view);

  quorate_pick_options_t options;
  quorate_pick_options_init(&options, sizeof options);
  const char *exclude[] = {"10.0.0.1:80"};
  options.exclude = exclude;
  options.exclude_count = 1;
  for (int i = 0; i < 20; i++) {
    OK(quorate_service_pick(service, &options, &pick, &error));
    CHECK(strcmp(quorate_pick_id(pick), "10.0.0.2:80") == 0);
    CHECK(strcmp(quorate_pick_address(pick), "10.0.0.2:80") == 0);
    CHECK(quorate_pick_state(pick) == QUORATE_STATE_LIVE && quorate_pick_why(pick) >= 0);
    OK(quorate_pick_report(pick, QUORATE_OUTCOME_OK, 500, -1, &error));
    OK(quorate_pick_report(pick, QUORATE_OUTCOME_FAIL, -1, -1, &error));
    FAILS(QUORATE_INVALID_ARGUMENT, quorate_pick_report(pick, 42, -1, -1, &error));
    quorate_pick_free(&pick);
    CHECK(pick == NULL);
  }
  OK(quorate_pick(client, "pick", NULL, &pick, &error));
  quorate_instance_t *instance = NULL;
  OK(quorate_pick_instance(pick, &instance, &error));
  CHECK(strcmp(instance->zone, "fra-1") == 0 && instance->weight == 1);
  quorate_instance_free(&instance);
  OK(quorate_pick_report(pick, QUORATE_OUTCOME_OVERLOADED, -1, 50, &error));
  quorate_pick_free(&pick);
  /* Never reported: cancelled. */
  OK(quorate_pick(client, "pick", NULL, &pick, &error));
  quorate_pick_free(&pick);
  CHECK(quorate_may_retry(client, "pick") && quorate_service_may_retry(service));

  quorate_metrics_t metrics;
  metrics.struct_size = sizeof metrics;
  OK(quorate_metrics(client, &metrics, &error));
  CHECK(metrics.picks == 22 && metrics.registrations == 2 && metrics.sessions_opened == 1);
  CHECK(metrics.struct_size == sizeof metrics);
  quorate_service_free(&service);
  quorate_registration_free(&a);
  quorate_registration_free(&b);
}

static void sticking(const char *server) {
  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = &server;
  options.endpoint_count = 1;
  options.request_timeout_ms = SOON;
  options.algorithm = QUORATE_MAGLEV;
  options.client_name = "sticky";
  quorate_setting_t settings[] = {{"panic_threshold", 0.25}};
  options.balancer = settings;
  options.balancer_count = 1;
  quorate_instance_options_t known;
  quorate_instance_options_init(&known, sizeof known);
  known.weight = 3;
  quorate_static_instance_t instances[] = {
      {"elsewhere", "10.1.0.1:1", &known}, {"elsewhere", "10.1.0.2:1", NULL}};
  options.static_instances = instances;
  options.static_instance_count = 2;
  quorate_client_t *client = NULL;
  OK(quorate_client_open(&options, &client, &error));
  quorate_registration_t *some[5];
  for (int i = 0; i < 5; i++) {
    char address[32];
    snprintf(address, sizeof address, "10.0.1.%d:80", i);
    some[i] = registered(client, "stick", address, 10);
  }
  quorate_view_t *view = NULL;
  do {
    quorate_view_free(&view);
    OK(quorate_discover(client, "stick", SOON, NULL, &view, &error));
  } while (view->instance_count != 5);
  quorate_view_free(&view);
  quorate_pick_options_t sticky;
  quorate_pick_options_init(&sticky, sizeof sticky);
  char first[64] = "";
  for (int i = 0; i < 10; i++) {
    sticky.sticky = "anna";
    sticky.sticky_size = 4;
    quorate_pick_t *pick = NULL;
    OK(quorate_pick(client, "stick", &sticky, &pick, &error));
    if (i == 0) snprintf(first, sizeof first, "%s", quorate_pick_id(pick));
    CHECK(strcmp(first, quorate_pick_id(pick)) == 0);
    OK(quorate_pick_report(pick, QUORATE_OUTCOME_OK, 100, -1, &error));
    quorate_pick_free(&pick);
  }
  for (int i = 0; i < 5; i++) quorate_registration_free(&some[i]);
  close_client(&client);

  quorate_setting_t wrong[] = {{"panic", 1}};
  options.balancer = wrong;
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_client_open(&options, &client, &error));
  CHECK(client == NULL);
}

static void asking(quorate_client_t *client, const char *server) {
  quorate_registration_t *shop = registered(client, "listed", "10.0.0.1:80", 1);
  quorate_summary_list_t *services = NULL;
  OK(quorate_list_services(client, NULL, SOON, NULL, &services, &error));
  bool found = false;
  for (size_t i = 0; i < services->service_count; i++) {
    const quorate_summary_t *one = services->services[i];
    if (strcmp(one->service, "listed") == 0) found = one->instances == 1 && one->up == 1;
    CHECK(strcmp(one->service_namespace, "default") == 0);
  }
  CHECK(found && services->services[services->service_count] == NULL);
  quorate_summary_list_free(&services);
  OK(quorate_list_services(client, "nobody", SOON, NULL, &services, &error));
  CHECK(services->service_count == 0);
  quorate_summary_list_free(&services);
  quorate_registration_free(&shop);

  quorate_server_list_t *servers = NULL;
  OK(quorate_server_status(client, SOON, NULL, &servers, &error));
  CHECK(servers->server_count == 1 && servers->servers[1] == NULL);
  const quorate_server_t *one = servers->servers[0];
  CHECK(strcmp(one->address, server) == 0 && one->error == NULL && one->version[0] != '\0');
  CHECK(one->member_id != 0 && one->leader == one->member_id && one->problem_count == 0);
  quorate_server_list_free(&servers);
}

/* What a call says to which no server answers: on a machine with too much to do the time may be up
 * before the first attempt is. */
static bool unanswered(quorate_code_t code) {
  return code == QUORATE_UNAVAILABLE || code == QUORATE_TIMEOUT;
}

/* Nothing listens there: from the static instances, and a status that says why not. */
static void outage(void) {
  const char *nowhere = "127.0.0.1:1";
  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = &nowhere;
  options.endpoint_count = 1;
  options.request_timeout_ms = 500;
  quorate_static_instance_t instances[] = {{"known", "10.1.0.1:1", NULL}};
  options.static_instances = instances;
  options.static_instance_count = 1;
  quorate_client_t *client = NULL;
  OK(quorate_client_open(&options, &client, &error));
  quorate_view_t *view = NULL;
  OK(quorate_discover(client, "known", SOON, NULL, &view, &error));
  CHECK(view->state == QUORATE_STATE_STATIC && view->instance_count == 1 && !view->complete);
  quorate_view_free(&view);
  CHECK(unanswered(quorate_discover(client, "other", SOON, NULL, &view, NULL)) && view == NULL);
  FAILS(QUORATE_TIMEOUT, quorate_discover(client, "third", 1, NULL, &view, &error));
  quorate_error_t *error = NULL;
  quorate_code_t code = quorate_put(client, TEXT("k"), TEXT("v"), NULL, SOON, NULL, NULL, &error);
  CHECK(unanswered(code) && error->code == code && error->retryable);
  quorate_error_free(&error);
  quorate_server_list_t *servers = NULL;
  OK(quorate_server_status(client, SOON, NULL, &servers, &error));
  CHECK(unanswered(servers->servers[0]->error->code));
  quorate_server_list_free(&servers);
  quorate_client_free(&client);
}

static void logging(void) {
  quorate_queue_t *queue = open_queue();
  OK(quorate_log(queue, QUORATE_LOG_TRACE, &error));
  outage();
  for (;;) {
    quorate_event_t *event = next_event(queue);
    CHECK(event->kind == QUORATE_EVENT_LOG && event->user_data == NULL);
    const quorate_log_record_t *log = event->log;
    CHECK(log->level >= QUORATE_LOG_TRACE && log->level <= QUORATE_LOG_ERROR && log->time_us > 0);
    CHECK(strncmp(log->target, "quorate", 7) == 0);
    bool found = strstr(log->message, "127.0.0.1:1") != NULL;
    quorate_event_free(&event);
    if (found) break;
  }
  OK(quorate_log(NULL, QUORATE_LOG_OFF, &error));
  FAILS(QUORATE_INVALID_ARGUMENT, quorate_log(queue, 6, &error));
  quorate_queue_free(&queue);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  quorate_client_t *client = open_client(argv[1]);
  picking(client);
  living(client);
  asking(client, argv[1]);
  close_client(&client);
  sticking(argv[1]);
  outage();
  logging();
  return 0;
}
