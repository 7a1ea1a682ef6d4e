import java.util.*;

/**
 * Prints what String.toLowerCase makes of each code point by itself, and of words in which its neighbours matter.
 * Keycloak looks up usernames and e-mail addresses in this spelling.
 *
 * <p>java Lower.java > java-lower.txt
 */
class Lower {
  public static void main(String[] args) {
    System.out.println("# java " + Runtime.version().feature() + ": code points, and what String.toLowerCase makes of them");
    for (int c = 1; c <= Character.MAX_CODE_POINT; c++) {
      if (c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE) continue;
      print(Character.toString(c));
    }
    // Words of letters whose lowering depends on their place, of marks and punctuation between them, and of pairs
    // beyond the first plane.
    String[] parts = {"Σ", "σ", "ς", "A", "a", "İ", "i\u0307", "I", "\u0307", "ß", "ẞ", "K", "\u212a", "@", ".", "-", "'", " ", "\u00a0",
      "1", "\u00ad", "\u0345", "\ud801\udc00", "\ud801\udc28", "\ud83d\ude00", "Ǆ", "ǅ"};
    Random random = new Random(13);
    for (int i = 0; i < 1000; i++) {
      StringBuilder word = new StringBuilder();
      for (int n = 2 + random.nextInt(6); n > 0; n--) word.append(parts[random.nextInt(parts.length)]);
      print(word.toString());
    }
  }

  static void print(String text) {
    String lower = text.toLowerCase(Locale.ENGLISH); // kc.sh starts Java with user.language=en
    if (!lower.equals(text)) System.out.println(hex(text) + "; " + hex(lower));
  }

  static String hex(String text) {
    StringJoiner out = new StringJoiner(" ");
    text.codePoints().forEach(c -> out.add(String.format("%04x", c)));
    return out.toString();
  }
}
