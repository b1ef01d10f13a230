// quorate.hpp: exceptions, owners that give up what they hold, values, callbacks.
#include <quorate.hpp>

#include <cstdlib>
#include <future>
#include <iostream>
#include <thread>
#include <type_traits>

using namespace std::chrono_literals;

#define CHECK(condition)                                                                         \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      std::cerr << __FILE__ << ":" << __LINE__ << ": failed: " << #condition << std::endl;       \
      std::abort();                                                                              \
    }                                                                                            \
  } while (0)

template <typename F>
static void fails(quorate_code_t code, F &&function) {
  try {
    function();
  } catch (const quorate::Error &error) {
    CHECK(error.code() == code && *error.what() != '\0' && !error.next_step().empty());
    return;
  }
  CHECK(!"it succeeded");
}

template <typename T>
constexpr bool move_only = std::is_move_constructible_v<T> && !std::is_copy_constructible_v<T>;
static_assert(move_only<quorate::Client> && move_only<quorate::Lock> && move_only<quorate::Lease>);
static_assert(move_only<quorate::Registration> && move_only<quorate::Queue>);
static_assert(move_only<quorate::Pick> && move_only<quorate::Watch> && move_only<quorate::Event>);

static void locks(const quorate::Client &client) {
  std::int64_t first = 0;
  {
    quorate::Lock lock = client.lock("cpp-lock", 60s, 5s);
    quorate::Lock moved = std::move(lock);
    first = moved.token();
    CHECK(moved.name() == "cpp-lock" && moved.key().rfind("cpp-lock/", 0) == 0 && !moved.is_lost());
    CHECK(!client.try_lock("cpp-lock"));
    fails(QUORATE_TIMEOUT, [&] { client.lock("cpp-lock", 20ms); });
    quorate::Cancel cancel;
    auto waiting = std::async(std::launch::async, [&] {
      fails(QUORATE_CANCELLED, [&] { client.lock("cpp-lock", cancel); });
    });
    cancel.fire();
    waiting.get();
  }
  // Released when it went.
  auto again = client.lock("cpp-lock", 60s);
  CHECK(again.token() > first);
  quorate::Queue queue;
  auto watch = again.notify(queue);
  client.erase(again.key());
  auto lost = queue.next(60s);
  CHECK(lost && (*lost)->kind == QUORATE_EVENT_LOST && again.wait_lost(60s) && again.is_lost());
  fails(QUORATE_LOCK_LOST, [&] { again.unlock(); });

  auto leadership = client.campaign("cpp-chief", "anna", 60s);
  CHECK(client.leader("cpp-chief")->value == "anna" && !leadership.wait_lost(0s));
  leadership.proclaim("annie");
  CHECK(client.leader("cpp-chief")->token == leadership.token());
  leadership.resign();
  CHECK(!client.leader("cpp-chief"));

  auto lease = client.lease(5s);
  client.put("cpp/leased", "x", {lease.id(), false});
  CHECK(client.lease_time_to_live(lease.id())->keys.at(0) == "cpp/leased");
  lease.revoke();
  CHECK(!client.lease_time_to_live(lease.id()) && !client.get("cpp/leased"));
}

static void keys(const quorate::Client &client) {
  std::string binary("a\0b", 3);
  client.put("cpp/k", "one");
  CHECK(client.put("cpp/k", binary, {0, true}).previous->value == "one");
  CHECK(client.get("cpp/k")->value == binary && !client.get("cpp/none"));
  quorate::RangeOptions all;
  all.prefix = "cpp/";
  all.keys_only = true;
  CHECK(client.range(all).kvs.at(0).key == "cpp/k");
  fails(QUORATE_INVALID_ARGUMENT, [&] { client.range({}); });
  quorate::Txn inner;
  inner.erase(QUORATE_THEN, "cpp/k");
  quorate::Txn txn;
  txn.when_exists("cpp/k")
      .when_missing("cpp/none")
      .when_number("cpp/k", QUORATE_TARGET_VERSION, QUORATE_GREATER, 0)
      .put(QUORATE_THEN, "cpp/l", "two")
      .get(QUORATE_THEN, "cpp/l")
      .range(QUORATE_OTHERWISE, all)
      .nested(QUORATE_THEN, inner);
  auto done = client.txn(txn);
  CHECK(done.succeeded && done.results.size() == 3 && done.results[0].put);
  CHECK(done.results[1].range->kvs.at(0).value == "two");
  CHECK(done.results[2].txn->results.at(0).deleted == 1u);
}

static void services(const quorate::Client &client) {
  std::promise<void> snapshot;
  std::promise<std::string> seen;
  std::promise<quorate_reason_t> removed;
  quorate::Queue queue;
  queue.dispatch([&](const quorate_event_t &event) {
    if (event.kind != QUORATE_EVENT_SERVICE) return;
    quorate::View view(*event.service->view);
    if (event.service->change == QUORATE_SERVICE_SNAPSHOT) snapshot.set_value();
    if (event.service->added_count == 1) seen.set_value(view.instances.at(0).metadata.at("team"));
    if (event.service->removed_count == 1) removed.set_value(event.service->removed[0]->reason);
  });
  auto watch = client.watch_service("cpp", queue);
  snapshot.get_future().get();
  {
    quorate::InstanceOptions options;
    options.metadata = {{"team", "checkout"}};
    options.ttl = 5s;
    auto registration = client.register_instance("cpp", "10.0.0.1:80", options);
    CHECK(registration.id() == "10.0.0.1:80" && !registration.evicted());
    CHECK(seen.get_future().get() == "checkout");
    auto service = client.service("cpp");
    CHECK(service.view()->instances.size() == 1);
    auto pick = service.pick();
    CHECK(std::string(pick.address()) == "10.0.0.1:80" && pick.instance().weight == 100);
    pick.report(QUORATE_OUTCOME_OK, 250us);
    quorate::Update change;
    change.weight = 7;
    registration.update(change);
    fails(QUORATE_INVALID_ARGUMENT, [&] { client.discover(std::string("a\0b", 3)); });
    bool found = false;
    for (const auto &one : client.list_services()) found = found || one.service == "cpp";
    CHECK(found && client.metrics().registrations == 1);
  }
  CHECK(removed.get_future().get() == QUORATE_REASON_DEREGISTERED);
  fails(QUORATE_FAILED_PRECONDITION, [&] { queue.next(); });
  CHECK(!client.server_status().at(0).error);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  quorate::Options options;
  options.endpoints = {argv[1]};
  options.request_timeout = 60s;
  options.balancer = {{"panic_threshold", 0.3}};
  quorate::Client client(options);
  client.connected(60s);
  locks(client);
  keys(client);
  services(client);
  client.close();
  fails(QUORATE_CLOSED, [&] { client.put("k", "v"); });
  options.balancer = {{"no such thing", 1}};
  fails(QUORATE_INVALID_ARGUMENT, [&] { quorate::Client wrong(options); });
}
