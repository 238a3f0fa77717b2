package guestinit

import (
	"fmt"
	"reflect"
	"strconv"
)

// same returns an error that names the first field, below path, in which got, what init would read, is not want. An empty
// list is as good as none.
func same[T any](path string, want, got T) error {
	return sameValue(path, reflect.ValueOf(want), reflect.ValueOf(got))
}

func sameValue(path string, want, got reflect.Value) error {
	switch {
	case want.Kind() == reflect.Struct:
		for i := range want.NumField() {
			name := want.Type().Field(i).Name
			if path != "" {
				name = path + "." + name
			}
			if err := sameValue(name, want.Field(i), got.Field(i)); err != nil {
				return err
			}
		}
	case want.Kind() == reflect.Slice:
		for i := range max(want.Len(), got.Len()) {
			element := path + "[" + strconv.Itoa(i) + "]"
			switch {
			case i >= got.Len():
				return fmt.Errorf("%s = %s can't be expressed: init would leave it out", element, text(want.Index(i)))
			case i >= want.Len():
				return fmt.Errorf("%s is missing: init would read %s there", element, text(got.Index(i)))
			}
			if err := sameValue(element, want.Index(i), got.Index(i)); err != nil {
				return err
			}
		}
	case want.Kind() == reflect.Pointer && !want.IsNil() && !got.IsNil():
		return sameValue(path, want.Elem(), got.Elem())
	case !reflect.DeepEqual(want.Interface(), got.Interface()):
		return fmt.Errorf("%s = %s can't be expressed: init would read %s", path, text(want), text(got))
	}
	return nil
}

// text renders v, shortened.
func text(v reflect.Value) string {
	const most = 60
	s := fmt.Sprintf("%#v", v)
	if len(s) > most {
		s = s[:most] + "..."
	}
	return s
}
