import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.ArrayList;
import java.util.List;

/** What tools for people do through JDBC: look for schemas, tables and columns, then ask with parameters. Argument: the port. */
public final class PostgresJdbc {
  private PostgresJdbc() {}

  public static void main(String[] args) throws Exception {
    String url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/daybook";
    try (Connection connection = DriverManager.getConnection(url, "me", "")) {
      DatabaseMetaData catalog = connection.getMetaData();
      require("public", all(catalog.getSchemas(), 1));
      require("daily_totals", all(catalog.getTables(null, "public", "%", new String[] {"TABLE"}), 3));
      require("[business_day, account, currency, total, transactions]",
          all(catalog.getColumns(null, "public", "daily_totals", "%"), 4));
      String sql = "SELECT total, transactions FROM daily_totals WHERE account = ? AND total > ?";
      try (PreparedStatement ask = connection.prepareStatement(sql)) {
        // From the fifth time on the driver prepares it on the server, and asks for binary values.
        for (int time = 0; time < 8; time++) {
          ask.setString(1, "a1");
          ask.setBigDecimal(2, new BigDecimal("0.25"));
          try (ResultSet rows = ask.executeQuery()) {
            if (!rows.next() || !rows.getBigDecimal(1).stripTrailingZeros().equals(new BigDecimal("753.75"))
                || rows.getLong(2) != 15 || rows.next()) {
              throw new IllegalStateException("other rows at time " + time);
            }
          }
        }
      }
    }
    System.out.println("JDBC fine");
  }

  private static List<String> all(ResultSet rows, int column) throws Exception {
    List<String> found = new ArrayList<>();
    try (rows) {
      while (rows.next()) {
        found.add(rows.getString(column));
      }
    }
    return found;
  }

  private static void require(String wanted, List<String> found) {
    if (!found.contains(wanted) && !found.toString().equals(wanted)) {
      throw new IllegalStateException("not " + wanted + " in " + found);
    }
  }
}
