// Payloads to msgpack, many at a time: what msgpack.Packer gives, for the types that payloads are made of.
#include "storage/pack_payloads.h"

#include <datetime.h>

#include <cstring>
#include <string>

namespace nb = nanobind;

namespace pqstore {
namespace {

constexpr int kDepth = 64;

// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March: a leap day ends its year.
int64_t days_since_1970(int year, int month, int day) {
    const int64_t since = month > 2 ? year : year - 1;
    const int64_t days_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return 365 * since + since / 4 - since / 100 + since / 400 + days_of_year - 719468;
}

// Writes values of exactly the types it knows, which are plain: they come back equal to what they are. False: a value of
// another type, which only Python can judge.
class Packer {
  public:
    explicit Packer(std::string& out) : out_(out) {}

    bool value(PyObject* object, int depth) {
        if (PyUnicode_CheckExact(object)) return text(object);
        if (PyLong_CheckExact(object)) return integer(object);
        if (object == Py_None) return byte(0xc0);
        if (object == Py_False) return byte(0xc2);
        if (object == Py_True) return byte(0xc3);
        if (PyFloat_CheckExact(object)) {
            const double number = PyFloat_AS_DOUBLE(object);
            uint64_t bits;
            std::memcpy(&bits, &number, sizeof bits);
            return big_endian(0xcb, bits, 8);
        }
        if (PyBytes_CheckExact(object)) return bytes(object);
        if (PyDateTime_CheckExact(object)) return moment(object);
        if (depth == 0) return false;
        if (PyList_CheckExact(object)) {
            const Py_ssize_t size = PyList_GET_SIZE(object);
            if (!head(size, 0x90, 16, 0xdc)) return false;
            // What a list holds cannot change meanwhile: no code of Python runs in here.
            for (Py_ssize_t i = 0; i < size; ++i)
                if (!value(PyList_GET_ITEM(object, i), depth - 1)) return false;
            return true;
        }
        if (PyDict_CheckExact(object)) {
            if (!head(PyDict_GET_SIZE(object), 0x80, 16, 0xde)) return false;
            PyObject *key, *entry;
            Py_ssize_t at = 0;
            while (PyDict_Next(object, &at, &key, &entry))
                if (!value(key, 0) || !value(entry, depth - 1)) return false;  // no lists as keys: they cannot be read
            return true;
        }
        if (PyTuple_CheckExact(object)) {
            const Py_ssize_t size = PyTuple_GET_SIZE(object);
            if (!head(size, 0x90, 16, 0xdc)) return false;
            for (Py_ssize_t i = 0; i < size; ++i)
                if (!value(PyTuple_GET_ITEM(object, i), depth - 1)) return false;
            return true;
        }
        return false;
    }

    // A payload: its keys by their numbers. False, too, when one has no number yet. `made` becomes a copy with plain
    // values in place of those that `plain` gave them for.
    bool payload(PyObject* map, PyObject* numbers, const nb::callable& plain, nb::object& made) {
        if (!PyDict_CheckExact(map)) return false;
        const Py_ssize_t size = PyDict_GET_SIZE(map);
        if (!head(size, 0x80, 16, 0xde)) return false;
        PyObject *key, *entry;
        Py_ssize_t at = 0;
        while (PyDict_Next(map, &at, &key, &entry)) {
            // Keys of other types could bring their own hash and comparison.
            if (!PyUnicode_CheckExact(key)) return false;
            PyObject* number = PyDict_GetItemWithError(numbers, key);
            if (number == nullptr) {
                if (PyErr_Occurred()) throw nb::python_error();
                return false;
            }
            if (!value(number, 0)) return false;
            const size_t start = out_.size();
            if (value(entry, kDepth)) continue;
            out_.resize(start);
            const nb::object held_key = nb::borrow(key), held_entry = nb::borrow(entry);
            const nb::object value_made = plain_of(entry, plain);
            // What Python ran may have changed the map under our hands.
            if (!value_made.is_valid() || PyDict_GET_SIZE(map) != size || !value(value_made.ptr(), kDepth)) return false;
            if (!made.is_valid()) made = nb::steal(PyDict_Copy(map));
            if (!made.is_valid() || PyDict_SetItem(made.ptr(), key, value_made.ptr()) != 0) throw nb::python_error();
        }
        return true;
    }

  private:
    // Nothing: there is none, for a reason that `slow` will tell.
    static nb::object plain_of(PyObject* object, const nb::callable& plain) {
        nb::object found = nb::steal(PyObject_CallOneArg(plain.ptr(), object));
        if (!found.is_valid()) {
            if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_RecursionError))
                throw nb::python_error();
            PyErr_Clear();
        }
        return found;
    }

    bool byte(unsigned value) {
        out_.push_back(static_cast<char>(value));
        return true;
    }

    bool big_endian(unsigned tag, uint64_t value, int size) {
        char buffer[9];
        buffer[0] = static_cast<char>(tag);
        big_endian(value, buffer + 1, size);
        out_.append(buffer, static_cast<size_t>(size) + 1);
        return true;
    }

    static void big_endian(uint64_t value, char* to, int size) {
        for (int i = 0; i < size; ++i) to[i] = static_cast<char>(value >> (8 * (size - 1 - i)));
    }

    // The head of a list or map: up to `small` entries in one byte, then two or four bytes after `tag` or the next tag.
    bool head(Py_ssize_t size, unsigned base, Py_ssize_t small, unsigned tag) {
        if (size < small) return byte(base | static_cast<unsigned>(size));
        if (size < (Py_ssize_t{1} << 16)) return big_endian(tag, static_cast<uint64_t>(size), 2);
        return size < (Py_ssize_t{1} << 32) && big_endian(tag + 1, static_cast<uint64_t>(size), 4);
    }

    bool sized(unsigned tag, const char* content, Py_ssize_t size) {
        if (size < 256)
            big_endian(tag, static_cast<uint64_t>(size), 1);
        else if (size < 65536)
            big_endian(tag + 1, static_cast<uint64_t>(size), 2);
        else if (size < (Py_ssize_t{1} << 32))
            big_endian(tag + 2, static_cast<uint64_t>(size), 4);
        else
            return false;
        out_.append(content, static_cast<size_t>(size));
        return true;
    }

    bool text(PyObject* object) {
        Py_ssize_t size;
        const char* content = PyUnicode_AsUTF8AndSize(object, &size);
        if (content == nullptr) {
            PyErr_Clear();  // a lone surrogate: Python names it
            return false;
        }
        if (size >= 32) return sized(0xd9, content, size);
        byte(0xa0 | static_cast<unsigned>(size));
        out_.append(content, static_cast<size_t>(size));
        return true;
    }

    bool bytes(PyObject* object) { return sized(0xc4, PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object)); }

    // Of those in UTC; others have to be reckoned. The shortest of the three forms of a timestamp.
    bool moment(PyObject* object) {
        if (PyDateTime_DATE_GET_TZINFO(object) != PyDateTime_TimeZone_UTC) return false;
        const int64_t days = days_since_1970(PyDateTime_GET_YEAR(object), PyDateTime_GET_MONTH(object),
                                             PyDateTime_GET_DAY(object));
        const int64_t seconds = 86400 * days + 3600 * PyDateTime_DATE_GET_HOUR(object) +
                                60 * PyDateTime_DATE_GET_MINUTE(object) + PyDateTime_DATE_GET_SECOND(object);
        const auto nanoseconds = uint64_t{1000} * static_cast<uint64_t>(PyDateTime_DATE_GET_MICROSECOND(object));
        const auto count = static_cast<uint64_t>(seconds);
        if (count >> 34 != 0) {
            char buffer[15] = {'\xc7', 12, '\xff'};
            big_endian(nanoseconds, buffer + 3, 4);
            big_endian(count, buffer + 7, 8);
            out_.append(buffer, sizeof buffer);
            return true;
        }
        const uint64_t both = nanoseconds << 34 | count;
        byte(both >> 32 == 0 ? 0xd6 : 0xd7);
        return big_endian(0xff, both, both >> 32 == 0 ? 4 : 8);
    }

    bool integer(PyObject* object) {
        int overflow;
        const long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow > 0) {
            const unsigned long long large = PyLong_AsUnsignedLongLong(object);
            if (PyErr_Occurred()) {
                PyErr_Clear();  // beyond 64 bits
                return false;
            }
            return big_endian(0xcf, large, 8);
        }
        if (overflow < 0) return false;
        const auto bits = static_cast<uint64_t>(number);
        if (number >= 0) {
            if (bits < 0x80) return byte(static_cast<unsigned>(bits));
            if (bits <= 0xff) return big_endian(0xcc, bits, 1);
            if (bits <= 0xffff) return big_endian(0xcd, bits, 2);
            return bits <= 0xffffffff ? big_endian(0xce, bits, 4) : big_endian(0xcf, bits, 8);
        }
        if (number >= -0x20) return byte(static_cast<unsigned>(bits & 0xff));
        if (number >= -0x80) return big_endian(0xd0, bits, 1);
        if (number >= -0x8000) return big_endian(0xd1, bits, 2);
        return number >= -0x80000000LL ? big_endian(0xd2, bits, 4) : big_endian(0xd3, bits, 8);
    }

    std::string& out_;
};

}  // namespace

nb::bytes pack_payloads(nb::list payloads, nb::dict numbers, nb::callable plain, nb::callable slow, size_t most,
                        nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> ends) {
    const size_t count = ends.shape(0);
    if (payloads.size() != count) throw nb::value_error("as many ends as payloads");
    if (PyDateTimeAPI == nullptr) PyDateTime_IMPORT;
    if (PyDateTimeAPI == nullptr) throw nb::python_error();
    std::string out;
    Packer packer(out);
    for (size_t i = 0; i < count; ++i) {
        if (payloads.size() != count) throw nb::value_error("the payloads changed while they were packed");
        PyObject* map = PyList_GET_ITEM(payloads.ptr(), static_cast<Py_ssize_t>(i));
        const size_t start = out.size();
        nb::object made;
        if (map != Py_None && !(packer.payload(map, numbers.ptr(), plain, made) && out.size() - start <= most)) {
            out.resize(start);
            // It may put another payload into this place.
            const nb::object content = slow(nb::borrow(map), i);
            char* bytes;
            Py_ssize_t size;
            if (PyBytes_AsStringAndSize(content.ptr(), &bytes, &size) != 0) throw nb::python_error();
            out.append(bytes, static_cast<size_t>(size));
        } else if (made.is_valid()) {
            if (PyList_SetItem(payloads.ptr(), static_cast<Py_ssize_t>(i), made.release().ptr()) != 0)
                throw nb::python_error();
        }
        ends.data()[i] = static_cast<int64_t>(out.size());
    }
    return nb::bytes(out.data(), out.size());
}

}  // namespace pqstore
