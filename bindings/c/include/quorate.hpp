/*
 * Quorate for C++17: quorate.h with exceptions, owners and values. Header only; link libquorate.
 *
 * - Every failure is a quorate::Error, with the code, whether a retry helps, and what to do next. What
 *   is simply not there is an empty std::optional.
 * - Handles are move-only and give up what they hold when they go: a Lock is released, a Registration
 *   deregistered, in the background. Give up explicitly to know that the servers know.
 * - Results are values. What waits takes a Wait: a limit, a Cancel, both or nothing.
 * - Threads, forks and exit: as quorate.h says.
 */
#ifndef QUORATE_HPP
#define QUORATE_HPP

#include <quorate.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quorate {

using std::chrono::milliseconds;

/* What went wrong. */
class Error : public std::runtime_error {
 public:
  Error(quorate_code_t code, const std::string &message, bool retryable, std::string next_step)
      : std::runtime_error(message),
        code_(code),
        retryable_(retryable),
        next_step_(std::move(next_step)) {}

  quorate_code_t code() const noexcept { return code_; }
  const char *name() const noexcept { return quorate_code_name(code_); }
  bool retryable() const noexcept { return retryable_; }
  const std::string &next_step() const noexcept { return next_step_; }

 private:
  quorate_code_t code_;
  bool retryable_;
  std::string next_step_;
};

namespace detail {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T *pointer) const noexcept {
    Free(&pointer);
  }
};

/* Something the library made, freed by its function. */
template <typename T, auto Free>
using Owned = std::unique_ptr<T, Deleter<Free>>;

/* Where the library puts what it makes. */
template <typename O>
class Into {
 public:
  explicit Into(O &owned) : owned_(owned) {}
  Into(const Into &) = delete;
  Into &operator=(const Into &) = delete;
  ~Into() { owned_.reset(made_); }
  operator typename O::element_type **() { return &made_; }

 private:
  O &owned_;
  typename O::element_type *made_ = nullptr;
};

inline Error taken(quorate_error_t *error, quorate_code_t code) {
  Owned<quorate_error_t, quorate_error_free> owner(error);
  if (error == nullptr) return Error(code, quorate_code_name(code), false, "");
  return Error(error->code, error->message, error->retryable, error->next_step);
}

/* Calls with a place for the error, and throws it. */
template <typename F>
void call(F &&function) {
  quorate_error_t *error = nullptr;
  quorate_code_t code = function(&error);
  if (code != QUORATE_OK) throw taken(error, code);
}

/* A text as C has it, which cannot hold a NUL. */
inline const char *text(const std::string &text) {
  if (text.find('\0') != std::string::npos) {
    throw Error(QUORATE_INVALID_ARGUMENT, "a text has a NUL in it", false, "correct the arguments");
  }
  return text.c_str();
}

inline const char *optional_text(const std::optional<std::string> &value) {
  return value ? text(*value) : nullptr;
}

inline std::string bytes(const char *data, std::size_t size) { return std::string(data, size); }

}  // namespace detail

/* Withdraws calls that wait with it; fire() may be called in a signal handler. */
class Cancel {
 public:
  Cancel() {
    detail::call([&](auto error) {
      return quorate_cancel_open(detail::Into(handle_), error);
    });
  }
  void fire() noexcept { quorate_cancel_fire(handle_.get()); }
  void reset() noexcept { quorate_cancel_reset(handle_.get()); }
  bool is_fired() const noexcept { return quorate_cancel_is_fired(handle_.get()); }
  quorate_cancel_t *get() const noexcept { return handle_.get(); }

 private:
  detail::Owned<quorate_cancel_t, quorate_cancel_free> handle_;
};

/* How long to wait, and what may end it earlier. */
struct Wait {
  Wait() = default;
  template <typename R, typename P>
  Wait(std::chrono::duration<R, P> limit)
      : limit_ms(std::max<std::int64_t>(std::chrono::ceil<milliseconds>(limit).count(), 0)) {}
  Wait(const Cancel &cancel) : cancel(cancel.get()) {}
  template <typename R, typename P>
  Wait(std::chrono::duration<R, P> limit, const Cancel &cancel) : Wait(limit) {
    this->cancel = cancel.get();
  }

  std::int64_t limit_ms = QUORATE_NO_LIMIT;
  quorate_cancel_t *cancel = nullptr;
};

/* Services */

struct Instance {
  explicit Instance(const quorate_instance_t &from)
      : id(from.id),
        address(from.address),
        zone(from.zone),
        version(from.version),
        ttl(from.ttl_ms),
        revision(from.revision),
        weight(from.weight),
        status(from.status) {
    for (std::size_t i = 0; i < from.metadata_count; i++) {
      metadata.emplace(from.metadata[i].key, from.metadata[i].value);
    }
  }
  std::string id, address, zone, version;
  std::map<std::string, std::string> metadata;
  milliseconds ttl;
  std::uint64_t revision;
  int weight;
  quorate_status_t status;
};

struct View {
  explicit View(const quorate_view_t &from)
      : service_namespace(from.service_namespace),
        service(from.service),
        epoch(from.epoch),
        revision(from.revision),
        age(from.age_ms),
        state(from.state),
        complete(from.complete) {
    for (std::size_t i = 0; i < from.instance_count; i++) {
      instances.emplace_back(*from.instances[i]);
    }
  }
  std::string service_namespace, service;
  std::vector<Instance> instances;
  std::uint64_t epoch, revision;
  milliseconds age;
  quorate_state_t state;
  bool complete;
};

/* What an instance is; what is not set has its default. */
struct InstanceOptions {
  std::optional<std::string> id, zone, version;
  std::map<std::string, std::string> metadata;
  std::optional<milliseconds> ttl;
  std::optional<int> weight;
  std::optional<quorate_status_t> status;
};

/* What to change of a registration. */
struct Update {
  std::optional<quorate_status_t> status;
  std::optional<int> weight;
  std::optional<std::map<std::string, std::string>> metadata;
};

namespace detail {

using Labels = std::vector<quorate_label_t>;

inline Labels labels(const std::map<std::string, std::string> &metadata) {
  Labels labels;
  for (const auto &[key, value] : metadata) labels.push_back({text(key), text(value)});
  return labels;
}

inline quorate_instance_options_t options_of(const InstanceOptions &given, const Labels &labels) {
  quorate_instance_options_t options;
  quorate_instance_options_init(&options, sizeof options);
  options.id = optional_text(given.id);
  options.zone = optional_text(given.zone);
  options.version = optional_text(given.version);
  options.metadata = labels.data();
  options.metadata_count = labels.size();
  if (given.ttl) options.ttl_ms = given.ttl->count();
  if (given.weight) options.weight = *given.weight;
  if (given.status) options.status = *given.status;
  return options;
}

}  // namespace detail

class Queue;

/* Something that puts events into a queue until it goes. */
class Watch {
 public:
  quorate_watch_t *get() const noexcept { return handle_.get(); }

 private:
  friend class Client;
  friend class Registration;
  friend class Lock;
  friend class Leadership;
  friend class Lease;
  detail::Owned<quorate_watch_t, quorate_watch_free> handle_;
};

/* An event: see quorate_event_t. */
class Event {
 public:
  const quorate_event_t *operator->() const noexcept { return event_.get(); }
  const quorate_event_t &operator*() const noexcept { return *event_; }

 private:
  friend class Queue;
  detail::Owned<quorate_event_t, quorate_event_free> event_;
};

/* What comes by itself, one by one, by a descriptor or by a callback. */
class Queue {
 public:
  using Callback = std::function<void(const quorate_event_t &)>;

  Queue() {
    detail::call([&](auto error) { return quorate_queue_open(detail::Into(handle_), error); });
  }
  Queue(Queue &&) = default;
  /* Assigning would end the old queue after its callback. */
  Queue &operator=(Queue &&) = delete;

  /* Readable while events wait; see quorate_queue_fd(). */
  int fd() const noexcept { return quorate_queue_fd(handle_.get()); }

  /* The next event; none when the time is up. */
  std::optional<Event> next(Wait wait = {}) {
    Event event;
    quorate_error_t *error = nullptr;
    quorate_code_t code = quorate_queue_next(handle_.get(), wait.limit_ms, wait.cancel,
                                             detail::Into(event.event_), &error);
    if (code == QUORATE_TIMEOUT) {
      quorate_error_free(&error);
      return std::nullopt;
    }
    if (code != QUORATE_OK) throw detail::taken(error, code);
    return event;
  }

  /* Calls back for each event, on a thread of the queue's own; an exception ends the program. */
  void dispatch(Callback callback) {
    auto kept = std::make_unique<Callback>(std::move(callback));
    detail::call([&](auto error) {
      return quorate_queue_dispatch(handle_.get(), &Queue::run, kept.get(), error);
    });
    callback_ = std::move(kept);
  }

  /* Puts what the client has to say into this queue. */
  void log(quorate_log_level_t level) {
    detail::call([&](auto error) { return quorate_log(handle_.get(), level, error); });
  }

  void close() {
    detail::call([&](auto error) { return quorate_queue_close(handle_.get(), error); });
  }
  quorate_queue_t *get() const noexcept { return handle_.get(); }

 private:
  static void run(const quorate_event_t *event, void *callback) noexcept {
    (*static_cast<Callback *>(callback))(*event);
  }
  /* Goes after the handle, which waits for a callback that runs. */
  std::unique_ptr<Callback> callback_;
  detail::Owned<quorate_queue_t, quorate_queue_free> handle_;
};

/* A registered instance; deregistered in the background when it goes. */
class Registration {
 public:
  std::string id() const { return quorate_registration_id(handle_.get()); }
  std::string address() const { return quorate_registration_address(handle_.get()); }
  std::string service() const { return quorate_registration_service(handle_.get()); }
  std::string service_namespace() const { return quorate_registration_namespace(handle_.get()); }
  std::uint64_t revision() const { return quorate_registration_revision(handle_.get()); }
  /* Why somebody else removed it for good, if so. */
  std::optional<quorate_reason_t> evicted() const {
    auto reason = static_cast<quorate_reason_t>(quorate_registration_evicted(handle_.get()));
    return reason == QUORATE_REASON_NONE ? std::nullopt : std::make_optional(reason);
  }
  void update(const Update &change, Wait wait = {}) {
    quorate_update_t update;
    quorate_update_init(&update, sizeof update);
    if (change.status) update.status = *change.status;
    if (change.weight) update.weight = *change.weight;
    detail::Labels labels;
    if (change.metadata) labels = detail::labels(*change.metadata);
    update.metadata = labels.data();
    update.metadata_count = labels.size();
    update.set_metadata = change.metadata.has_value();
    detail::call([&](auto error) {
      return quorate_registration_update(handle_.get(), &update, wait.limit_ms, wait.cancel, error);
    });
  }
  void deregister(Wait wait = {}) {
    detail::call([&](auto error) {
      return quorate_registration_deregister(handle_.get(), wait.limit_ms, wait.cancel, error);
    });
  }
  Watch notify(const Queue &queue, void *user_data = nullptr) const {
    Watch watch;
    detail::call([&](auto error) {
      return quorate_registration_notify(handle_.get(), queue.get(), user_data,
                                         detail::Into(watch.handle_), error);
    });
    return watch;
  }

 private:
  friend class Client;
  detail::Owned<quorate_registration_t, quorate_registration_free> handle_;
};

/* What a call wants of its instance. */
struct PickOptions {
  std::optional<std::string> sticky;
  std::vector<std::string> exclude;
};

/* An instance chosen for one call; one that goes without a report counts as cancelled. */
class Pick {
 public:
  const char *address() const noexcept { return quorate_pick_address(handle_.get()); }
  const char *id() const noexcept { return quorate_pick_id(handle_.get()); }
  quorate_state_t state() const noexcept {
    return static_cast<quorate_state_t>(quorate_pick_state(handle_.get()));
  }
  quorate_why_t why() const noexcept {
    return static_cast<quorate_why_t>(quorate_pick_why(handle_.get()));
  }
  Instance instance() const {
    detail::Owned<quorate_instance_t, quorate_instance_free> instance;
    detail::call([&](auto error) {
      return quorate_pick_instance(handle_.get(), detail::Into(instance), error);
    });
    return Instance(*instance);
  }
  /* Only the first report counts; without a latency, the time since the pick. */
  void report(quorate_outcome_t outcome,
              std::optional<std::chrono::microseconds> latency = std::nullopt,
              std::optional<milliseconds> retry_after = std::nullopt) {
    detail::call([&](auto error) {
      return quorate_pick_report(handle_.get(), outcome, latency ? latency->count() : -1,
                                 retry_after ? retry_after->count() : -1, error);
    });
  }

 private:
  friend class Client;
  friend class Service;
  detail::Owned<quorate_pick_t, quorate_pick_free> handle_;
};

namespace detail {

template <typename F>
void pick_with(const PickOptions &given, F &&pick) {
  quorate_pick_options_t options;
  quorate_pick_options_init(&options, sizeof options);
  std::vector<const char *> exclude;
  for (const auto &id : given.exclude) exclude.push_back(text(id));
  options.exclude = exclude.data();
  options.exclude_count = exclude.size();
  if (given.sticky) {
    options.sticky = given.sticky->data();
    options.sticky_size = given.sticky->size();
  }
  call([&](auto error) { return pick(&options, error); });
}

}  // namespace detail

/* A followed service, for those who pick often. */
class Service {
 public:
  Pick pick(const PickOptions &options = {}) const {
    Pick pick;
    detail::pick_with(options, [&](auto options, auto error) {
      return quorate_service_pick(handle_.get(), options, detail::Into(pick.handle_), error);
    });
    return pick;
  }
  bool may_retry() const noexcept { return quorate_service_may_retry(handle_.get()); }
  /* From memory; none while nothing is known. */
  std::optional<View> view() const {
    detail::Owned<quorate_view_t, quorate_view_free> view;
    detail::call([&](auto error) {
      return quorate_service_view(handle_.get(), detail::Into(view), error);
    });
    return view ? std::make_optional<View>(*view) : std::nullopt;
  }

 private:
  friend class Client;
  detail::Owned<quorate_service_t, quorate_service_free> handle_;
};

struct Summary {
  std::string service_namespace, service;
  std::uint32_t instances, up, subscribers, slot;
};

/* Locks, elections, leases */

/* A held lock; released in the background when it goes. */
class Lock {
 public:
  std::string name() const { return quorate_lock_name(handle_.get()); }
  std::string key() const {
    std::size_t size = 0;
    const char *key = quorate_lock_key(handle_.get(), &size);
    return detail::bytes(key, size);
  }
  /* Greater than that of every earlier holder. */
  std::int64_t token() const noexcept { return quorate_lock_token(handle_.get()); }
  bool is_lost() const noexcept { return quorate_lock_is_lost(handle_.get()); }
  /* True once it is lost; false when the time is up or it was unlocked. */
  bool wait_lost(Wait wait = {}) const {
    bool lost = false;
    detail::call([&](auto error) {
      return quorate_lock_wait_lost(handle_.get(), wait.limit_ms, wait.cancel, &lost, error);
    });
    return lost;
  }
  Watch notify(const Queue &queue, void *user_data = nullptr) const {
    Watch watch;
    detail::call([&](auto error) {
      return quorate_lock_notify(handle_.get(), queue.get(), user_data,
                                 detail::Into(watch.handle_), error);
    });
    return watch;
  }
  void unlock(Wait wait = {}) {
    detail::call([&](auto error) {
      return quorate_lock_unlock(handle_.get(), wait.limit_ms, wait.cancel, error);
    });
  }

 private:
  friend class Client;
  detail::Owned<quorate_lock_t, quorate_lock_free> handle_;
};

/* Leadership that is held; resigned in the background when it goes. */
class Leadership {
 public:
  std::string name() const { return quorate_leadership_name(handle_.get()); }
  std::string key() const {
    std::size_t size = 0;
    const char *key = quorate_leadership_key(handle_.get(), &size);
    return detail::bytes(key, size);
  }
  std::int64_t token() const noexcept { return quorate_leadership_token(handle_.get()); }
  bool is_lost() const noexcept { return quorate_leadership_is_lost(handle_.get()); }
  bool wait_lost(Wait wait = {}) const {
    bool lost = false;
    detail::call([&](auto error) {
      return quorate_leadership_wait_lost(handle_.get(), wait.limit_ms, wait.cancel, &lost, error);
    });
    return lost;
  }
  Watch notify(const Queue &queue, void *user_data = nullptr) const {
    Watch watch;
    detail::call([&](auto error) {
      return quorate_leadership_notify(handle_.get(), queue.get(), user_data,
                                       detail::Into(watch.handle_), error);
    });
    return watch;
  }
  void proclaim(std::string_view value, Wait wait = {}) {
    detail::call([&](auto error) {
      return quorate_leadership_proclaim(handle_.get(), value.data(), value.size(), wait.limit_ms,
                                         wait.cancel, error);
    });
  }
  void resign(Wait wait = {}) {
    detail::call([&](auto error) {
      return quorate_leadership_resign(handle_.get(), wait.limit_ms, wait.cancel, error);
    });
  }

 private:
  friend class Client;
  detail::Owned<quorate_leadership_t, quorate_leadership_free> handle_;
};

struct Leader {
  std::string value, key;
  std::int64_t token;
};

/* A lease that is renewed; revoked in the background when it goes. */
class Lease {
 public:
  std::int64_t id() const noexcept { return quorate_lease_id(handle_.get()); }
  milliseconds ttl() const noexcept { return milliseconds(quorate_lease_ttl_ms(handle_.get())); }
  bool is_lost() const noexcept { return quorate_lease_is_lost(handle_.get()); }
  bool wait_lost(Wait wait = {}) const {
    bool lost = false;
    detail::call([&](auto error) {
      return quorate_lease_wait_lost(handle_.get(), wait.limit_ms, wait.cancel, &lost, error);
    });
    return lost;
  }
  Watch notify(const Queue &queue, void *user_data = nullptr) const {
    Watch watch;
    detail::call([&](auto error) {
      return quorate_lease_notify(handle_.get(), queue.get(), user_data,
                                  detail::Into(watch.handle_), error);
    });
    return watch;
  }
  void revoke(Wait wait = {}) {
    detail::call([&](auto error) {
      return quorate_lease_revoke(handle_.get(), wait.limit_ms, wait.cancel, error);
    });
  }

 private:
  friend class Client;
  detail::Owned<quorate_lease_t, quorate_lease_free> handle_;
};

struct LeaseInfo {
  std::int64_t id;
  milliseconds granted, remaining;
  std::vector<std::string> keys;
};

/* Keys */

struct KeyValue {
  explicit KeyValue(const quorate_key_value_t &from)
      : key(from.key, from.key_size),
        value(from.value, from.value_size),
        create_revision(from.create_revision),
        mod_revision(from.mod_revision),
        version(from.version),
        lease(from.lease) {}
  std::string key, value;
  std::int64_t create_revision, mod_revision, version, lease;
};

struct PutOptions {
  std::int64_t lease = 0;
  bool previous = false;
};

struct PutResult {
  explicit PutResult(const quorate_put_result_t &from) : revision(from.revision) {
    if (from.previous != nullptr) previous.emplace(*from.previous);
  }
  std::int64_t revision;
  std::optional<KeyValue> previous;
};

/* Which keys: all that begin with `prefix`, or those from `start` to `end`. */
struct RangeOptions {
  std::optional<std::string> prefix, start, end;
  std::int64_t revision = 0, max_create_revision = 0;
  std::uint32_t limit = 0;
  quorate_sort_t sort = QUORATE_SORT_KEY;
  bool descending = false, keys_only = false, count_only = false, serializable = false;
};

struct RangeResult {
  explicit RangeResult(const quorate_range_result_t &from)
      : count(from.count), revision(from.revision), more(from.more) {
    for (std::size_t i = 0; i < from.kv_count; i++) kvs.emplace_back(*from.kvs[i]);
  }
  std::vector<KeyValue> kvs;
  std::uint64_t count;
  std::int64_t revision;
  bool more;
};

struct WatchOptions {
  std::int64_t start_revision = 0;
  bool prefix = false, previous = false;
};

namespace detail {

inline quorate_put_options_t options_of(const PutOptions &given) {
  quorate_put_options_t options;
  quorate_put_options_init(&options, sizeof options);
  options.lease = given.lease;
  options.previous = given.previous;
  return options;
}

inline quorate_range_options_t options_of(const RangeOptions &given) {
  quorate_range_options_t options;
  quorate_range_options_init(&options, sizeof options);
  if (given.prefix) {
    options.prefix = given.prefix->data();
    options.prefix_size = given.prefix->size();
  }
  if (given.start) {
    options.start = given.start->data();
    options.start_size = given.start->size();
  }
  if (given.end) {
    options.end = given.end->data();
    options.end_size = given.end->size();
  }
  options.revision = given.revision;
  options.max_create_revision = given.max_create_revision;
  options.limit = given.limit;
  options.sort = given.sort;
  options.descending = given.descending;
  options.keys_only = given.keys_only;
  options.count_only = given.count_only;
  options.serializable = given.serializable;
  return options;
}

}  // namespace detail

/* What one operation of a transaction did: one of them is there. */
struct OpResult;

struct TxnResult {
  explicit TxnResult(const quorate_txn_result_t &from);
  std::vector<OpResult> results;
  std::int64_t revision;
  bool succeeded;
};

struct OpResult {
  explicit OpResult(const quorate_op_result_t &from) {
    if (from.put != nullptr) put.emplace(*from.put);
    if (from.range != nullptr) range.emplace(*from.range);
    if (from.txn != nullptr) txn = std::make_shared<const TxnResult>(*from.txn);
    if (from.op == QUORATE_OP_DELETE) deleted = from.deleted;
  }
  std::optional<PutResult> put;
  std::optional<RangeResult> range;
  std::optional<std::uint64_t> deleted;
  std::shared_ptr<const TxnResult> txn;
};

inline TxnResult::TxnResult(const quorate_txn_result_t &from)
    : revision(from.revision), succeeded(from.succeeded) {
  for (std::size_t i = 0; i < from.result_count; i++) results.emplace_back(*from.results[i]);
}

/* A transaction under construction. */
class Txn {
 public:
  Txn() {
    detail::call([&](auto error) { return quorate_txn_open(detail::Into(handle_), error); });
  }
  Txn &when_exists(std::string_view key) { return when_exists(key, false); }
  Txn &when_missing(std::string_view key) { return when_exists(key, true); }
  Txn &when_value(std::string_view key, quorate_comparison_t comparison, std::string_view value,
                  bool prefix = false) {
    return add([&](auto error) {
      return quorate_txn_when_value(handle_.get(), key.data(), key.size(), prefix, comparison,
                                    value.data(), value.size(), error);
    });
  }
  Txn &when_number(std::string_view key, quorate_target_t target, quorate_comparison_t comparison,
                   std::int64_t number, bool prefix = false) {
    return add([&](auto error) {
      return quorate_txn_when_number(handle_.get(), key.data(), key.size(), prefix, target,
                                     comparison, number, error);
    });
  }
  Txn &put(quorate_branch_t branch, std::string_view key, std::string_view value,
           const PutOptions &options = {}) {
    auto given = detail::options_of(options);
    return add([&](auto error) {
      return quorate_txn_put(handle_.get(), branch, key.data(), key.size(), value.data(),
                             value.size(), &given, error);
    });
  }
  Txn &get(quorate_branch_t branch, std::string_view key) {
    return add([&](auto error) {
      return quorate_txn_get(handle_.get(), branch, key.data(), key.size(), error);
    });
  }
  Txn &range(quorate_branch_t branch, const RangeOptions &options) {
    auto given = detail::options_of(options);
    return add([&](auto error) { return quorate_txn_range(handle_.get(), branch, &given, error); });
  }
  Txn &erase(quorate_branch_t branch, std::string_view key, bool prefix = false) {
    return add([&](auto error) {
      return quorate_txn_delete(handle_.get(), branch, key.data(), key.size(), prefix, error);
    });
  }
  Txn &nested(quorate_branch_t branch, const Txn &other) {
    return add([&](auto error) {
      return quorate_txn_nested(handle_.get(), branch, other.handle_.get(), error);
    });
  }

 private:
  friend class Client;
  Txn &when_exists(std::string_view key, bool missing) {
    return add([&](auto error) {
      return quorate_txn_when_exists(handle_.get(), key.data(), key.size(), missing, error);
    });
  }
  template <typename F>
  Txn &add(F &&function) {
    detail::call(std::forward<F>(function));
    return *this;
  }
  detail::Owned<quorate_txn_t, quorate_txn_free> handle_;
};

/* The client */

struct StaticInstance {
  std::string service, address;
  InstanceOptions options;
};

/* The options of a client; what is not set has its default. */
struct Options {
  std::vector<std::string> endpoints;
  std::optional<std::string> default_namespace, cache_dir, client_name;
  std::optional<milliseconds> request_timeout, connect_timeout;
  std::vector<StaticInstance> static_instances;
  std::map<std::string, double> balancer;
  std::optional<quorate_algorithm_t> algorithm;
};

struct ServerStatus {
  std::string address, version;
  std::optional<Error> error;
  std::uint64_t member_id, cluster_id, leader, term, raft_index, raft_applied_index, db_size;
  std::int64_t revision;
  std::vector<std::string> problems;
};

/* A connection to a Quorate cluster, for all threads of a program. */
class Client {
 public:
  explicit Client(const Options &given = {}) {
    quorate_client_options_t options;
    quorate_client_options_init(&options, sizeof options);
    std::vector<const char *> endpoints;
    for (const auto &endpoint : given.endpoints) endpoints.push_back(detail::text(endpoint));
    options.endpoints = endpoints.data();
    options.endpoint_count = endpoints.size();
    options.default_namespace = detail::optional_text(given.default_namespace);
    options.cache_dir = detail::optional_text(given.cache_dir);
    options.client_name = detail::optional_text(given.client_name);
    if (given.request_timeout) options.request_timeout_ms = given.request_timeout->count();
    if (given.connect_timeout) options.connect_timeout_ms = given.connect_timeout->count();
    if (given.algorithm) options.algorithm = *given.algorithm;
    std::vector<quorate_setting_t> settings;
    for (const auto &[name, value] : given.balancer) settings.push_back({detail::text(name), value});
    options.balancer = settings.data();
    options.balancer_count = settings.size();
    std::vector<detail::Labels> labels;
    std::vector<quorate_instance_options_t> more;
    for (const auto &one : given.static_instances) {
      labels.push_back(detail::labels(one.options.metadata));
      more.push_back(detail::options_of(one.options, labels.back()));
    }
    std::vector<quorate_static_instance_t> instances;
    for (std::size_t i = 0; i < given.static_instances.size(); i++) {
      const auto &one = given.static_instances[i];
      instances.push_back({detail::text(one.service), detail::text(one.address), &more[i]});
    }
    options.static_instances = instances.data();
    options.static_instance_count = instances.size();
    detail::call([&](auto error) {
      return quorate_client_open(&options, detail::Into(handle_), error);
    });
  }

  void connected(Wait wait = {}) const {
    detail::call([&](auto error) {
      return quorate_client_connected(handle_.get(), wait.limit_ms, wait.cancel, error);
    });
  }
  void close(Wait wait = {}) {
    detail::call([&](auto error) {
      return quorate_client_close(handle_.get(), wait.limit_ms, wait.cancel, error);
    });
  }
  quorate_metrics_t metrics() const {
    quorate_metrics_t metrics;
    metrics.struct_size = sizeof metrics;
    detail::call([&](auto error) { return quorate_metrics(handle_.get(), &metrics, error); });
    return metrics;
  }
  std::vector<ServerStatus> server_status(Wait wait = {}) const {
    detail::Owned<quorate_server_list_t, quorate_server_list_free> list;
    detail::call([&](auto error) {
      return quorate_server_status(handle_.get(), wait.limit_ms, wait.cancel, detail::Into(list),
                                   error);
    });
    std::vector<ServerStatus> all;
    for (std::size_t i = 0; i < list->server_count; i++) {
      const quorate_server_t &one = *list->servers[i];
      ServerStatus status{one.address,   one.version, std::nullopt,   one.member_id,
                          one.cluster_id, one.leader,  one.term,       one.raft_index,
                          one.raft_applied_index,      one.db_size,    one.revision, {}};
      if (one.error != nullptr) {
        status.error.emplace(one.error->code, one.error->message, one.error->retryable,
                             one.error->next_step);
      }
      for (std::size_t p = 0; p < one.problem_count; p++) {
        status.problems.emplace_back(one.problems[p]);
      }
      all.push_back(std::move(status));
    }
    return all;
  }

  Registration register_instance(const std::string &service, const std::string &address,
                                 const InstanceOptions &given = {}, Wait wait = {}) const {
    auto labels = detail::labels(given.metadata);
    auto options = detail::options_of(given, labels);
    Registration registration;
    detail::call([&](auto error) {
      return quorate_register(handle_.get(), detail::text(service), detail::text(address), &options,
                              wait.limit_ms, wait.cancel, detail::Into(registration.handle_),
                              error);
    });
    return registration;
  }
  View discover(const std::string &service, Wait wait = {}) const {
    detail::Owned<quorate_view_t, quorate_view_free> view;
    detail::call([&](auto error) {
      return quorate_discover(handle_.get(), detail::text(service), wait.limit_ms, wait.cancel,
                              detail::Into(view), error);
    });
    return View(*view);
  }
  Service service(const std::string &name) const {
    Service service;
    detail::call([&](auto error) {
      return quorate_service_open(handle_.get(), detail::text(name),
                                  detail::Into(service.handle_), error);
    });
    return service;
  }
  Pick pick(const std::string &service, const PickOptions &options = {}) const {
    Pick pick;
    detail::pick_with(options, [&](auto options, auto error) {
      return quorate_pick(handle_.get(), detail::text(service), options,
                          detail::Into(pick.handle_), error);
    });
    return pick;
  }
  bool may_retry(const std::string &service) const {
    return quorate_may_retry(handle_.get(), detail::text(service));
  }
  std::vector<Summary> list_services(const std::optional<std::string> &of_namespace = std::nullopt,
                                     Wait wait = {}) const {
    detail::Owned<quorate_summary_list_t, quorate_summary_list_free> list;
    detail::call([&](auto error) {
      return quorate_list_services(handle_.get(), detail::optional_text(of_namespace),
                                   wait.limit_ms, wait.cancel, detail::Into(list), error);
    });
    std::vector<Summary> all;
    for (std::size_t i = 0; i < list->service_count; i++) {
      const quorate_summary_t &one = *list->services[i];
      all.push_back({one.service_namespace, one.service, one.instances, one.up, one.subscribers,
                     one.slot});
    }
    return all;
  }
  Watch watch_service(const std::string &service, const Queue &queue,
                      void *user_data = nullptr) const {
    Watch watch;
    detail::call([&](auto error) {
      return quorate_watch_service(handle_.get(), detail::text(service), queue.get(), user_data,
                                   detail::Into(watch.handle_), error);
    });
    return watch;
  }

  /* Waits in line as long as `wait` allows; throws QUORATE_TIMEOUT then. */
  Lock lock(const std::string &name, Wait wait = {},
            std::optional<milliseconds> ttl = std::nullopt) const {
    Lock lock;
    auto options = hold(ttl);
    detail::call([&](auto error) {
      return quorate_lock(handle_.get(), detail::text(name), &options, wait.limit_ms, wait.cancel,
                          detail::Into(lock.handle_), error);
    });
    return lock;
  }
  /* None if somebody holds it or waits for it. */
  std::optional<Lock> try_lock(const std::string &name, Wait wait = {},
                               std::optional<milliseconds> ttl = std::nullopt) const {
    Lock lock;
    auto options = hold(ttl);
    quorate_error_t *error = nullptr;
    quorate_code_t code =
        quorate_try_lock(handle_.get(), detail::text(name), &options, wait.limit_ms, wait.cancel,
                         detail::Into(lock.handle_), &error);
    if (code == QUORATE_CONFLICT) {
      quorate_error_free(&error);
      return std::nullopt;
    }
    if (code != QUORATE_OK) throw detail::taken(error, code);
    return lock;
  }
  Leadership campaign(const std::string &election, std::string_view value, Wait wait = {},
                      std::optional<milliseconds> ttl = std::nullopt) const {
    Leadership leadership;
    auto options = hold(ttl);
    detail::call([&](auto error) {
      return quorate_campaign(handle_.get(), detail::text(election), value.data(), value.size(),
                              &options, wait.limit_ms, wait.cancel,
                              detail::Into(leadership.handle_), error);
    });
    return leadership;
  }
  std::optional<Leader> leader(const std::string &election, Wait wait = {}) const {
    detail::Owned<quorate_leader_t, quorate_leader_free> found;
    detail::call([&](auto error) {
      return quorate_leader(handle_.get(), detail::text(election), wait.limit_ms, wait.cancel,
                            detail::Into(found), error);
    });
    if (!found) return std::nullopt;
    return Leader{detail::bytes(found->value, found->value_size),
                  detail::bytes(found->key, found->key_size), found->token};
  }
  Watch observe(const std::string &election, const Queue &queue, void *user_data = nullptr) const {
    Watch watch;
    detail::call([&](auto error) {
      return quorate_observe(handle_.get(), detail::text(election), queue.get(), user_data,
                             detail::Into(watch.handle_), error);
    });
    return watch;
  }
  Lease lease(milliseconds ttl, Wait wait = {}) const {
    Lease lease;
    detail::call([&](auto error) {
      return quorate_lease(handle_.get(), ttl.count(), wait.limit_ms, wait.cancel,
                           detail::Into(lease.handle_), error);
    });
    return lease;
  }
  std::optional<LeaseInfo> lease_time_to_live(std::int64_t id, Wait wait = {}) const {
    detail::Owned<quorate_lease_info_t, quorate_lease_info_free> info;
    detail::call([&](auto error) {
      return quorate_lease_time_to_live(handle_.get(), id, wait.limit_ms, wait.cancel,
                                        detail::Into(info), error);
    });
    if (!info) return std::nullopt;
    LeaseInfo found{info->id, milliseconds(info->granted_ms), milliseconds(info->remaining_ms), {}};
    for (std::size_t i = 0; i < info->key_count; i++) {
      found.keys.push_back(detail::bytes(info->keys[i].data, info->keys[i].size));
    }
    return found;
  }

  PutResult put(std::string_view key, std::string_view value, const PutOptions &options = {},
                Wait wait = {}) const {
    auto given = detail::options_of(options);
    detail::Owned<quorate_put_result_t, quorate_put_result_free> result;
    detail::call([&](auto error) {
      return quorate_put(handle_.get(), key.data(), key.size(), value.data(), value.size(), &given,
                         wait.limit_ms, wait.cancel, detail::Into(result), error);
    });
    return PutResult(*result);
  }
  std::optional<KeyValue> get(std::string_view key, std::int64_t revision = 0,
                              bool serializable = false, Wait wait = {}) const {
    detail::Owned<quorate_key_value_t, quorate_key_value_free> found;
    detail::call([&](auto error) {
      return quorate_get(handle_.get(), key.data(), key.size(), revision, serializable,
                         wait.limit_ms, wait.cancel, detail::Into(found), error);
    });
    return found ? std::make_optional<KeyValue>(*found) : std::nullopt;
  }
  RangeResult range(const RangeOptions &options, Wait wait = {}) const {
    auto given = detail::options_of(options);
    detail::Owned<quorate_range_result_t, quorate_range_result_free> result;
    detail::call([&](auto error) {
      return quorate_range(handle_.get(), &given, wait.limit_ms, wait.cancel, detail::Into(result),
                           error);
    });
    return RangeResult(*result);
  }
  /* Answers how many keys are gone. */
  std::uint64_t erase(std::string_view key, bool prefix = false, Wait wait = {}) const {
    std::uint64_t deleted = 0;
    detail::call([&](auto error) {
      return quorate_delete(handle_.get(), key.data(), key.size(), prefix, wait.limit_ms,
                            wait.cancel, &deleted, error);
    });
    return deleted;
  }
  TxnResult txn(const Txn &txn, Wait wait = {}) const {
    detail::Owned<quorate_txn_result_t, quorate_txn_result_free> result;
    detail::call([&](auto error) {
      return quorate_txn_commit(handle_.get(), txn.handle_.get(), wait.limit_ms, wait.cancel,
                                detail::Into(result), error);
    });
    return TxnResult(*result);
  }
  void compact(std::int64_t revision, Wait wait = {}) const {
    detail::call([&](auto error) {
      return quorate_compact(handle_.get(), revision, wait.limit_ms, wait.cancel, error);
    });
  }
  Watch watch(std::string_view key, const Queue &queue, const WatchOptions &options = {},
              void *user_data = nullptr) const {
    quorate_watch_options_t given;
    quorate_watch_options_init(&given, sizeof given);
    given.start_revision = options.start_revision;
    given.prefix = options.prefix;
    given.previous = options.previous;
    Watch watch;
    detail::call([&](auto error) {
      return quorate_watch(handle_.get(), key.data(), key.size(), &given, queue.get(), user_data,
                           detail::Into(watch.handle_), error);
    });
    return watch;
  }

  quorate_client_t *get() const noexcept { return handle_.get(); }

 private:
  static quorate_hold_options_t hold(std::optional<milliseconds> ttl) {
    quorate_hold_options_t options;
    quorate_hold_options_init(&options, sizeof options);
    if (ttl) options.ttl_ms = ttl->count();
    return options;
  }
  detail::Owned<quorate_client_t, quorate_client_free> handle_;
};

}  // namespace quorate

#endif
