package guestinit

import (
	"fmt"
	"reflect"
)

// same returns an error if got, what init would read, differs from want. The error names the first
// field that differs, below path. Empty and nil lists and maps are equal.
func same[T any](path string, want, got T) error {
	return sameValue(path, reflect.ValueOf(want), reflect.ValueOf(got))
}

func sameValue(path string, want, got reflect.Value) error {
	switch kind := want.Kind(); {
	case kind == reflect.Struct:
		return sameStruct(path, want, got)
	case kind == reflect.Slice:
		return sameSlice(path, want, got)
	case kind == reflect.Map && want.Len() == 0 && got.Len() == 0:
		return nil
	case kind == reflect.Pointer && !want.IsNil() && !got.IsNil():
		return sameValue(path, want.Elem(), got.Elem())
	case !reflect.DeepEqual(want.Interface(), got.Interface()):
		return fmt.Errorf("%s = %s can't be expressed: init would read %s",
			path, text(want), text(got))
	}
	return nil
}

func sameStruct(path string, want, got reflect.Value) error {
	for i := range want.NumField() {
		name := want.Type().Field(i).Name
		if path != "" {
			name = path + "." + name
		}
		if err := sameValue(name, want.Field(i), got.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func sameSlice(path string, want, got reflect.Value) error {
	for i := range max(want.Len(), got.Len()) {
		element := fmt.Sprintf("%s[%d]", path, i)
		if i >= got.Len() {
			return fmt.Errorf("%s = %s can't be expressed: init would leave it out",
				element, text(want.Index(i)))
		}
		if i >= want.Len() {
			return fmt.Errorf("%s is missing: init would read %s there",
				element, text(got.Index(i)))
		}
		if err := sameValue(element, want.Index(i), got.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// text formats v on one line of limited length.
func text(v reflect.Value) string {
	format := "%#v"
	if v.CanInt() || v.CanUint() {
		format = "%v"
	}
	s := fmt.Sprintf(format, v)
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return s
}
