import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.Watcher;
import io.spiffe.workloadapi.X509Context;
import java.math.BigInteger;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** java-spiffe: prints a line for all that it got, and another one when its certificate was renewed. */
public class Client {
  public static void main(String[] args) throws Exception {
    var options = new DefaultWorkloadApiClient.ClientOptions.Builder().spiffeSocketPath(args[0]).build();
    var seen = new LinkedBlockingQueue<X509Context>();
    try (var client = DefaultWorkloadApiClient.newClient(options)) {
      client.watchX509Context(
          new Watcher<X509Context>() {
            public void onUpdate(X509Context context) {
              seen.add(context);
            }

            public void onError(Throwable error) {
              System.out.println("failed: " + error);
            }
          });
      var first = seen.poll(1, TimeUnit.MINUTES);
      JwtSvid token = client.fetchJwtSvid("db");
      JwtSvid local = JwtSvid.parseAndValidate(token.getToken(), client.fetchJwtBundles(), java.util.Set.of("db"));
      client.validateJwtSvid(token.getToken(), "db");
      System.out.println("got " + first.getDefaultSvid().getSpiffeId() + " " + local.getSpiffeId());
      while (serial(seen.poll(1, TimeUnit.MINUTES)).equals(serial(first))) {}
      System.out.println("renewed " + first.getDefaultSvid().getSpiffeId());
    }
    System.exit(0);
  }

  private static BigInteger serial(X509Context context) {
    return context.getDefaultSvid().getLeaf().getSerialNumber();
  }
}
