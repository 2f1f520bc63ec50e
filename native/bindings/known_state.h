// A committed state that was read before, and is taken hold of again for one compiled call.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <utility>

namespace pqstore {

namespace nb = nanobind;

// What `SharedIndex.begin_read` and the end of its lease do, where nothing has happened since the state was read. Where
// something has, nothing is held: the caller reads as ever, and is told there what it was.
class KnownState {
  public:
    // `reference` of the handle to the index `shared`, whose open `generation` has the state as transaction `number`;
    // `begin` begins one of LMDB's.
    KnownState(nb::object reference, nb::object shared, nb::object generation, nb::object begin, int64_t number)
        : reference_(std::move(reference)),
          shared_(std::move(shared)),
          generation_(std::move(generation)),
          begin_(std::move(begin)),
          acquire_(shared_.attr("_lock").attr("acquire")),
          release_(shared_.attr("_lock").attr("release")),
          active_(nb::cast<nb::dict>(shared_.attr("_active"))),
          number_(number) {}

    // The right to read the state. Made and ended with the GIL held; who reads may let go of it meanwhile.
    class Hold {
      public:
        explicit Hold(const KnownState& known) : known_(known) {
            if (!attribute(known.reference_, known.shared_name_).is(known.shared_)) return;  // a handle that was closed
            const nb::object locked = called(PyObject_CallOneArg(known.acquire_.ptr(), Py_False));
            if (!locked.is(nb::handle(Py_True))) return;  // who waits here waits as ever
            if (is_undisturbed()) begin();
            called(PyObject_CallNoArgs(known.release_.ptr()));
        }
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

        ~Hold() {
            if (!held_) return;
            abort();
            // Nobody else gets the GIL between the look and the removal: who waits for the generation to be unused has
            // either said so before, or finds it unused.
            if (is_undisturbed())
                PyDict_DelItem(known_.active_.ptr(), key_.ptr());
            else
                called(PyObject_CallMethodOneArg(known_.shared_.ptr(), known_.ended_name_.ptr(), key_.ptr()));
            PyErr_Clear();
        }

        explicit operator bool() const { return held_; }

      private:
        void begin() {
            txn_ = called(PyObject_CallNoArgs(known_.begin_.ptr()));
            if (!txn_.is_valid()) return;  // no room for a reader, or a file that has grown
            const nb::object number = called(PyObject_CallMethodNoArgs(txn_.ptr(), known_.id_name_.ptr()));
            if (!number.is_valid() || PyLong_AsLongLong(number.ptr()) != known_.number_) return abort();
            key_ = nb::steal(PyLong_FromVoidPtr(txn_.ptr()));
            const nb::object thread = nb::steal(PyLong_FromUnsignedLong(PyThread_get_thread_ident()));
            const nb::object entry = nb::steal(PyTuple_Pack(2, thread.ptr(), known_.generation_.ptr()));
            held_ = entry.is_valid() && PyDict_SetItem(known_.active_.ptr(), key_.ptr(), entry.ptr()) == 0;
            if (!held_) abort();
        }

        void abort() {
            PyErr_Clear();
            called(PyObject_CallMethodNoArgs(txn_.ptr(), known_.abort_name_.ptr()));
        }

        // Whether the generation is the one in use, and nobody waits for its transactions to end.
        bool is_undisturbed() const {
            return attribute(known_.shared_, known_.generation_name_).is(known_.generation_) &&
                   attribute(known_.shared_, known_.forking_name_).is(nb::handle(Py_False)) &&
                   PyObject_IsTrue(attribute(known_.shared_, known_.references_name_).ptr()) == 1;
        }

        const KnownState& known_;
        nb::object txn_, key_;
        bool held_ = false;
    };

  private:
    static nb::object interned(const char* text) { return nb::steal(PyUnicode_InternFromString(text)); }

    static nb::object attribute(const nb::object& owner, const nb::object& name) {
        return called(PyObject_GetAttr(owner.ptr(), name.ptr()));
    }

    // What a call gave; an error of it is not told.
    static nb::object called(PyObject* result) {
        if (result == nullptr) PyErr_Clear();
        return nb::steal(result);
    }

    nb::object reference_, shared_, generation_, begin_, acquire_, release_;
    nb::dict active_;
    int64_t number_;
    const nb::object shared_name_ = interned("_shared"), generation_name_ = interned("_generation"),
                     forking_name_ = interned("_forking"), references_name_ = interned("references"),
                     id_name_ = interned("id"), abort_name_ = interned("abort"), ended_name_ = interned("ended");
};

}  // namespace pqstore
