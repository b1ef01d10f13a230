/* Prints the nanoseconds of one pick with its report: 1,000 endpoints, one thread, no server. */
#define _DEFAULT_SOURCE
#include "measure.h"

enum { ENDPOINTS = 1000, PICKS = 1000000, RUNS = 5 };

int main(void) {
  static char addresses[ENDPOINTS][32];
  static quorate_instance_options_t weights[ENDPOINTS];
  static quorate_static_instance_t instances[ENDPOINTS];
  for (int number = 0; number < ENDPOINTS; number++) {
    snprintf(addresses[number], sizeof addresses[number], "127.0.0.1:%d", 1000 + number);
    quorate_instance_options_init(&weights[number], sizeof weights[number]);
    weights[number].weight = 1 + number % 5;
    instances[number] = (quorate_static_instance_t){"bench", addresses[number], &weights[number]};
  }
  /* Port 1: nobody is there, the static instances serve. */
  const char *nobody = "127.0.0.1:1";
  quorate_error_t *error = NULL;
  quorate_client_options_t options;
  quorate_client_options_init(&options, sizeof options);
  options.endpoints = &nobody;
  options.endpoint_count = 1;
  options.static_instances = instances;
  options.static_instance_count = ENDPOINTS;
  quorate_client_t *client = NULL;
  must(quorate_client_open(&options, &client, &error), &error);
  quorate_view_t *view = NULL;
  must(quorate_discover(client, "bench", 30000, NULL, &view, &error), &error);
  quorate_view_free(&view);
  quorate_service_t *service = NULL;
  must(quorate_service_open(client, "bench", &service, &error), &error);

  double runs[RUNS];
  size_t seen = 0;
  for (int run = 0; run < RUNS; run++) {
    double began = nanoseconds();
    for (int count = 0; count < PICKS; count++) {
      quorate_pick_t *pick = NULL;
      must(quorate_service_pick(service, NULL, &pick, &error), &error);
      seen += quorate_pick_address(pick) != NULL;
      must(quorate_pick_report(pick, QUORATE_OUTCOME_OK, -1, -1, &error), &error);
      quorate_pick_free(&pick);
    }
    runs[run] = (nanoseconds() - began) / PICKS;
  }
  if (seen != (size_t)PICKS * RUNS) return EXIT_FAILURE;
  printf("%f\n", median(runs, RUNS));
  quorate_service_free(&service);
  close_client(&client);
  return EXIT_SUCCESS;
}
