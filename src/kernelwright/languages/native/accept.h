// Whether a candidate's function can be called with the tensors of its problem, and the call.
//
// The judge knows the exact parameter types. A candidate may differ where nothing can go wrong:
// it may drop `const`, take a size as another integer type, take a scalar `float` for `double`,
// or see a narrow type as integers of the same size.
#pragma once

#include <type_traits>

template <class T>
struct kw_pointer {  // a tensor: T is the element, const where the tensor is an input
    template <class P>
    static constexpr bool accepts() {
        using Given = std::remove_pointer_t<P>;
        using Element = std::remove_cv_t<Given>;
        using Wanted = std::remove_const_t<T>;
        constexpr bool wide = std::is_same_v<Wanted, float> || std::is_same_v<Wanted, double>;
        constexpr bool raw =
            !wide && std::is_integral_v<Element> && sizeof(Element) == sizeof(Wanted);
        constexpr bool writes = std::is_const_v<T> || !std::is_const_v<Given>;
        return std::is_pointer_v<P> && writes && (std::is_same_v<Element, Wanted> || raw);
    }
};

template <class T>
struct kw_value {  // a size or a scalar, passed by value
    template <class P>
    static constexpr bool accepts() {
        using V = std::remove_cv_t<P>;
        if (std::is_same_v<T, V>) return true;
        if (std::is_same_v<T, double>) return std::is_same_v<V, float>;
        const bool integer = std::is_integral_v<V> && !std::is_same_v<V, bool>;
        return std::is_same_v<T, int64_t> && integer && sizeof(V) >= 4;
    }
};

template <class... Wanted>
struct kw_signature {
    template <class... P>
    static constexpr bool matches(void (*)(P...)) {
        if constexpr (sizeof...(P) == sizeof...(Wanted)) {
            return (Wanted::template accepts<P>() && ...);
        } else {
            return false;
        }
    }
    template <class... P>
    static constexpr bool matches(void (*function)(P...) noexcept) {
        return matches(static_cast<void (*)(P...)>(function));
    }
    static constexpr bool matches(...) { return false; }
};

// An argument that becomes what the candidate's parameter is.
struct kw_tensor {
    void* data;
    template <class T>
    operator T*() const {
        return static_cast<T*>(data);
    }
};
