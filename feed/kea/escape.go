package kea

import "bytes"

// appendUnescaped appends text as Kea's CSVFile writes it, with every escape undone: &#x and two hex digits, without a semicolon,
// stand for one octet. It is one pass from left to right: what an escape stands for is not looked at again, so that &#x26#x2c is
// the text &#x2c. The error is ErrEscape.
func appendUnescaped(dst, text []byte) ([]byte, error) {
	for {
		i := bytes.IndexByte(text, '&')
		if i < 0 {
			return append(dst, text...), nil
		}
		dst = append(dst, text[:i]...)
		text = text[i:]
		if len(text) < 5 || text[1] != '#' || text[2] != 'x' {
			return dst, ErrEscape
		}
		hi, lo := hexDigit[text[3]], hexDigit[text[4]]
		if hi|lo > 15 {
			return dst, ErrEscape
		}
		dst = append(dst, hi<<4|lo)
		text = text[5:]
	}
}

// hexDigit is the value of a hex digit, or 255.
var hexDigit = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

// appendHex appends the octets that hex digits stand for.
func appendHex(dst, digits []byte) (out []byte, ok bool) {
	if len(digits)%2 != 0 {
		return dst, false
	}
	for i := 0; i < len(digits); i += 2 {
		hi, lo := hexDigit[digits[i]], hexDigit[digits[i+1]]
		if hi|lo > 15 {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}

// appendDUID appends the octets of a DUID: hex digits by twos, with a colon between each two octets or with none at all.
func appendDUID(dst, text []byte) (out []byte, ok bool) {
	if bytes.IndexByte(text, ':') < 0 {
		return appendHex(dst, text)
	}
	if len(text)%3 != 2 {
		return dst, false
	}
	for i := 0; i < len(text); i += 3 {
		hi, lo := hexDigit[text[i]], hexDigit[text[i+1]]
		if hi|lo > 15 || (i+2 < len(text) && text[i+2] != ':') {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}
